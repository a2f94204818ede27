"""Health signals of a training run, and the search for the layer where a failure began."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

# The first gradients are not representative.
_FEW = 5
_REMEMBERED = 100


def layer_norms(model: nn.Module, parameters: list[nn.Parameter]) -> dict[str, float]:
    """Return the Euclidean gradient norm of every layer that owns one of `parameters`, by name.

    A layer is a module with parameters of its own. Layers without a gradient are left out.
    """
    chosen = {id(parameter) for parameter in parameters}
    squares: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if id(parameter) in chosen and parameter.grad is not None:
            layer = name.rpartition(".")[0]
            norm = torch.linalg.vector_norm(parameter.grad.detach(), dtype=torch.float64)
            square = norm.square()
            squares[layer] = squares[layer] + square if layer in squares else square
    if not squares:
        return {}
    values = torch.stack(list(squares.values())).sqrt().tolist()
    return dict(zip(squares, values, strict=True))


class Explosions:
    """Detects a gradient that is much larger than previous ones.

    `norms` holds the previous norms and is part of the training state.
    """

    def __init__(self, factor: float) -> None:
        """A gradient explodes if it exceeds `factor` times the median of the previous norms."""
        self._factor = factor
        self.norms: list[float] = []

    def limit(self) -> float:
        """Return the largest accepted norm; infinity after too few norms, or only zeros."""
        usual = statistics.median(self.norms) if len(self.norms) >= _FEW else 0.0
        return self._factor * usual if usual > 0 else math.inf

    def add(self, norm: float) -> bool:
        """Store `norm` if it is accepted; return True if it exploded or is not finite."""
        if not math.isfinite(norm) or norm > self.limit():
            return True
        self.norms = [*self.norms, norm][-_REMEMBERED:]
        return False


class NonFiniteFinder:
    """Finds the first layer with an output or gradient that is not finite.

    Attributes:
        location: description of the layer, None if all was finite.
    """

    def __init__(self, model: nn.Module) -> None:
        """Prepare a search in the layers of `model`."""
        self._model = model
        self.location: str | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Check every output in the `with` block."""
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

    def check_gradients(self) -> None:
        """Check the current gradients, from the output layer backwards."""
        if self.location is None:
            for name, parameter in reversed(list(self._model.named_parameters())):
                if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
                    self.location = f"the gradient of {name}"
                    return

    def check_weights(self) -> None:
        """Check the current parameters after a step."""
        if self.location is None:
            for name, parameter in self._model.named_parameters():
                if not bool(torch.isfinite(parameter).all()):
                    self.location = f"the weights of {name}"
                    return

    def _hook(self, name: str) -> Any:
        def check_output(module: nn.Module, _: Any, output: Any) -> None:
            if self.location is None and not _finite(output):
                self.location = f"the output of {name} ({type(module).__name__})"

        return check_output


def _finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value).all())
    if isinstance(value, list | tuple):
        return all(_finite(part) for part in value)
    return True
