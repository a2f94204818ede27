"""Settings of OpenMP and of torch's memory that make training faster on a CPU.

Environment variables are the only way to give them. Both libraries read them once: OpenMP when it
is loaded, torch when it allocates its first tensor.
"""

from __future__ import annotations

from collections.abc import MutableMapping

FAST_DEFAULTS = {
    # Iterations that an idle OpenMP thread spins before it sleeps. With unlimited spinning,
    # processes that share cores slow each other down (a step took 20 times as long beside another
    # training run). Without spinning, a step takes twice as long on an idle machine. With 30,000
    # iterations an idle machine loses no time, and shared cores lose little.
    "GOMP_SPINCOUNT": "30000",
    # Tensors from 2 MB on get pages of 2 MB, where Linux offers them on request. The kernel then
    # clears and maps 512 times fewer pages: a step of a hierarchical VAE of 32×32 photographs took
    # a tenth less time, with the same numbers.
    "THP_MEM_ALLOC_ENABLE": "1",
}


def set_fast_defaults(environment: MutableMapping[str, str]) -> None:
    """Add the settings that the user has not given; call it before torch is imported."""
    for name, value in FAST_DEFAULTS.items():
        environment.setdefault(name, value)
