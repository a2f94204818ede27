"""Training state as tensors and numbers, for checkpoints."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from genmint.training.health import Explosions
from genmint.training.history import HistoryRow


@dataclass
class LoopState:
    """State of the loop; `Stepper.capture` returns the rest of the training state.

    Attributes:
        explosions: previous gradient norms.
        step: number of completed steps.
        validated: step of the last row of the history, or 0.
        skipped: number of optimizer phases left out up to that row.
        history: one row per validation.
        best: weights with the best validation loss so far, on the CPU.
        best_step: step of the best weights.
        best_loss: validation loss of the best weights.
        without_improvement: number of validations since then.
    """

    explosions: Explosions
    step: int = 0
    validated: int = 0
    skipped: int = 0
    history: list[HistoryRow] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_step: int = 0
    best_loss: float = math.inf
    without_improvement: int = 0

    def capture(self) -> dict[str, Any]:
        """Return the current state, as references without copies."""
        return {
            "step": self.step,
            "validated": self.validated,
            "skipped": self.skipped,
            "history": list(self.history),
            "best": dict(self.best),
            "best_step": self.best_step,
            "best_loss": self.best_loss,
            "without_improvement": self.without_improvement,
            "norms": list(self.explosions.norms),
        }

    def restore(self, captured: dict[str, Any]) -> None:
        """Restore a state returned by `capture`."""
        self.step = captured["step"]
        self.validated = captured["validated"]
        self.skipped = captured["skipped"]
        self.history[:] = captured["history"]
        self.best = dict(captured["best"])
        self.best_step = captured["best_step"]
        self.best_loss = captured["best_loss"]
        self.without_improvement = captured["without_improvement"]
        self.explosions.norms = list(captured["norms"])


def on_cpu(value: Any) -> Any:
    """Return a copy of a nested value (dict, list, tuple) with every tensor copied to the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: on_cpu(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(on_cpu(part) for part in value)
    return value


def on_device(value: Any, device: torch.device) -> Any:
    """Return the nested value with every tensor on `device`; tensors are copied only if needed."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: on_device(part, device) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(on_device(part, device) for part in value)
    return value
