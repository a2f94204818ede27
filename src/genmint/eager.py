"""torch's optimisers without its compiler, whose import costs every process 3 s and 100 MB.

torch imports it in order to tell it what not to compile: at the start of every optimiser, and
around each of its steps. Nothing here compiles an optimiser.
"""

from __future__ import annotations

import inspect

import torch


def spare_compiler() -> None:
    """Let optimisers be built, saved and restored without it; call it before the first is built."""
    for method in vars(torch.optim.Optimizer).values():
        guard = getattr(method, "__globals__", {}).get("__name__")
        if guard == "torch._compile" and not hasattr(method.__wrapped__, "__dynamo_disable"):
            # Where torch keeps the form that is not compiled, once it has made it.
            method.__wrapped__.__dynamo_disable = method.__wrapped__


def step(optimiser: torch.optim.Optimizer) -> None:
    """Do `optimiser.step()`: the same arithmetic, without torch's profiling and compiler hooks."""
    # What a learning rate schedule of torch looks for.
    optimiser._opt_called = True  # type: ignore[attr-defined]
    with torch.no_grad():
        inspect.unwrap(type(optimiser).step)(optimiser)
