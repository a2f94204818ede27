"""Losses and scalars of the steps since the last validation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genmint.training.distributed import Ranks


@dataclass(frozen=True)
class Bad:
    """The earliest loss in a window that is not finite.

    Attributes:
        group: parameter group of the loss.
        step: step within the window, from 1.
        value: NaN or an infinity.
        count: number of such losses in the window.
    """

    group: str
    step: int
    value: float
    count: int


class LossWindow:
    """Losses and scalars on the device, since reading a loss would synchronise in every step."""

    def __init__(self, phases: dict[str, int], size: int, device: torch.device) -> None:
        """Allocate `size` steps; `phases` gives the optimizer phases of each group per step."""
        self._phases = phases
        self._losses = {group: torch.zeros(size * n, device=device) for group, n in phases.items()}
        self._last = list(phases)[-1]
        self.clear()

    def clear(self) -> None:
        """Start a new window."""
        self._counts = dict.fromkeys(self._losses, 0)
        self._totals: dict[str, Tensor] = {}
        self._added: dict[str, int] = {}

    def add(self, group: str, value: Tensor) -> None:
        """Add the loss of an optimizer phase."""
        self._losses[group][self._counts[group]] = value
        self._counts[group] += 1

    def count(self, scalars: dict[str, Tensor]) -> None:
        """Add scalars to their means."""
        for key, scalar in scalars.items():
            total = self._totals.get(key)
            # float64, since the rounding error of a mean would otherwise depend on the window
            # length.
            self._totals[key] = scalar.double() if total is None else total + scalar
            self._added[key] = self._added.get(key, 0) + 1

    def last_loss(self) -> float:
        """Return the loss of the last phase of the last step; synchronises with the device."""
        return float(self._losses[self._last][max(self._counts[self._last] - 1, 0)])

    def means(self, ranks: Ranks) -> dict[str, float]:
        """Return the mean of every scalar over the window and over all processes."""
        means = {key: total / self._added[key] for key, total in self._totals.items()}
        return {key: float(ranks.mean(value)) for key, value in means.items()}

    def first_bad(self, ranks: Ranks) -> Bad | None:
        """Return the earliest loss that is not finite, in any process; None if all are finite."""
        first = None
        count = 0
        for group, losses in self._losses.items():
            seen = ranks.mean(losses[: self._counts[group]])
            # A finite sum implies finite terms, so that one number is read; overflow is the only
            # exception.
            if math.isfinite(float(seen.double().sum())):
                continue
            bad = (~torch.isfinite(seen)).nonzero()
            count += len(bad)
            step = int(bad[0]) // self._phases[group] + 1
            if first is None or step < first.step:
                first = Bad(group, step, float(seen[bad[0]]), 0)
        return None if first is None else Bad(first.group, first.step, first.value, count)

    def state(self) -> dict[str, Any]:
        """Return the content of the window."""
        return {
            "losses": {group: v[: self._counts[group]] for group, v in self._losses.items()},
            "totals": dict(self._totals),
            "added": dict(self._added),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a state returned by `state`."""
        self.clear()
        for group, losses in state["losses"].items():
            self._counts[group] = len(losses)
            self._losses[group][: len(losses)] = losses
        device = self._losses[self._last].device
        self._totals = {key: value.to(device) for key, value in state["totals"].items()}
        self._added = dict(state["added"])
