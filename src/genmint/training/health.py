"""Signals of a training's health, and the search for the layer where it went wrong."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

# Gradients of the first steps are no measure of what is usual.
_FEW = 5
_REMEMBERED = 100


def layer_norms(model: nn.Module, parameters: list[nn.Parameter]) -> dict[str, float]:
    """Euclidean norm of the gradient of every layer that owns one of `parameters`, by its name.

    A layer is a module with parameters of its own; one without a gradient is left out.
    """
    asked = {id(parameter) for parameter in parameters}
    squares: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if id(parameter) in asked and parameter.grad is not None:
            layer = name.rpartition(".")[0]
            norm = torch.linalg.vector_norm(parameter.grad.detach(), dtype=torch.float64)
            square = norm.square()
            squares[layer] = squares[layer] + square if layer in squares else square
    if not squares:
        return {}
    values = torch.stack(list(squares.values())).sqrt().tolist()
    return dict(zip(squares, values, strict=True))


class Explosions:
    """Notices a gradient that is far longer than those before it.

    `norms` is what it remembers: it is part of a training's state.
    """

    def __init__(self, factor: float) -> None:
        """A gradient explodes when it exceeds `factor` times the median of those seen before."""
        self._factor = factor
        self.norms: list[float] = []

    def limit(self) -> float:
        """The longest gradient that passes now; infinity while too few were seen, or only zeros."""
        usual = statistics.median(self.norms) if len(self.norms) >= _FEW else 0.0
        return self._factor * usual if usual > 0 else math.inf

    def add(self, norm: float) -> bool:
        """Remember `norm` if it is usual; true if it exploded or is not finite."""
        if not math.isfinite(norm) or norm > self.limit():
            return True
        self.norms = [*self.norms, norm][-_REMEMBERED:]
        return False


class Probe:
    """Finds the first layer whose output or gradient is not finite.

    Attributes:
        found: in words, once there is something to say.
    """

    def __init__(self, model: nn.Module) -> None:
        """Look at the layers of `model`."""
        self._model = model
        self.found: str | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Look at every output while the block runs."""
        hooks = [
            module.register_forward_hook(self._hook(name))
            for name, module in self._model.named_modules()
            if name and not list(module.children())
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def look_at_gradients(self) -> None:
        """Look at the gradients as they are, from the outputs' side backwards."""
        if self.found is None:
            for name, parameter in reversed(list(self._model.named_parameters())):
                if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
                    self.found = f"the gradient of {name}"
                    return

    def look_at_weights(self) -> None:
        """Look at the parameters as they are after a step."""
        if self.found is None:
            for name, parameter in self._model.named_parameters():
                if not bool(torch.isfinite(parameter).all()):
                    self.found = f"the weights of {name}"
                    return

    def _hook(self, name: str) -> Any:
        def look(module: nn.Module, _: Any, output: Any) -> None:
            if self.found is None and not _finite(output):
                self.found = f"the output of {name} ({type(module).__name__})"

        return look


def _finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value).all())
    if isinstance(value, list | tuple):
        return all(_finite(part) for part in value)
    return True
