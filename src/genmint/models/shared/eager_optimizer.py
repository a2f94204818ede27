"""torch optimizers without the import of its compiler, which takes 3 s and 100 MB per process.

torch imports the compiler to exclude code from compilation, at the construction of every
optimizer and around each of its steps. genmint does not compile optimizers.
"""

from __future__ import annotations

import inspect

import torch


def spare_compiler() -> None:
    """Let optimizers work without the compiler; call it before the first one is constructed.

    It covers constructing, saving and restoring an optimizer.
    """
    for method in vars(torch.optim.Optimizer).values():
        guard = getattr(method, "__globals__", {}).get("__name__")
        if guard == "torch._compile" and not hasattr(method.__wrapped__, "__dynamo_disable"):
            # torch caches the non-compiled function in this attribute.
            method.__wrapped__.__dynamo_disable = method.__wrapped__


def step(optimiser: torch.optim.Optimizer) -> None:
    """Run `optimiser.step()` with the same arithmetic, without profiling and compiler hooks."""
    # Learning rate schedulers of torch check this attribute.
    optimiser._opt_called = True  # type: ignore[attr-defined]
    with torch.no_grad():
        inspect.unwrap(type(optimiser).step)(optimiser)
