"""Where the time of a training step goes, by torch's profiler; printed as one line.

python benchmarks/breakdown.py CASE PRECISION [compile] [channels_last]
"""

from __future__ import annotations

import os
import sys
import time

from genmint.common.fast_defaults import FAST_DEFAULTS

# As `python -m genmint` has it; before torch is imported.
os.environ.update({**FAST_DEFAULTS, **os.environ})

from contenders import genmint
from torch.profiler import ProfilerActivity, profile

from genmint.training.devices import share_cores

_WARM, _STEPS = 8, 20

# What the names of operations say that they are; the first that fits counts.
_KINDS = {
    "convolutions": ("convolution", "conv2d", "conv_transpose"),
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "recurrent layers and their output, forward and back": ("_Summed",),
    "translated code": ("CompiledFxGraph",),
    "normalisation and activations": ("norm", "relu", "threshold", "clamp"),
    "optimiser": ("_fused_adam", "Optimizer"),
    "noise": ("uniform_", "normal_", "bernoulli"),
    "copies": ("copy_", "aten::cat", "index_select", "empty"),
}


def main(case: str, precision: str, *options: str) -> None:
    """Profile some steps and print the shares of the wall clock."""
    share_cores()
    steps = genmint(case, precision, *options)
    for _ in range(_WARM):
        next(steps)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        began = time.perf_counter()
        for _ in range(_STEPS):
            next(steps)
        wall = time.perf_counter() - began
    spent = dict.fromkeys(_KINDS, 0.0)
    for entry in profiler.key_averages():
        for kind, names in _KINDS.items():
            if any(name in entry.key for name in names):
                spent[kind] += entry.self_cpu_time_total / 1e6 / wall
                break
    shown = [f"{kind} {share:.0%}" for kind, share in
             sorted(spent.items(), key=lambda item: -item[1]) if share >= 0.01]  # fmt: skip
    print(
        ", ".join([*shown, f"small operations, Python and waiting {1 - sum(spent.values()):.0%}"])
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
