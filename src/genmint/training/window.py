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
    """The earliest loss of a window that is not finite.

    Attributes:
        group: whose loss.
        step: counted from 1 within the window.
        value: NaN or an infinity.
        count: of such losses in the window.
    """

    group: str
    step: int
    value: float
    count: int


class Window:
    """Kept on the device: reading a loss would wait for it in every step."""

    def __init__(self, turns: dict[str, int], size: int, device: torch.device) -> None:
        """Make room for `size` steps with so many turns of each group."""
        self._turns = turns
        self._losses = {group: torch.zeros(size * n, device=device) for group, n in turns.items()}
        self._last = list(turns)[-1]
        self.clear()

    def clear(self) -> None:
        """Begin a new window."""
        self._counts = dict.fromkeys(self._losses, 0)
        self._totals: dict[str, Tensor] = {}
        self._added: dict[str, int] = {}

    def add(self, group: str, value: Tensor) -> None:
        """Take the loss of a turn."""
        self._losses[group][self._counts[group]] = value
        self._counts[group] += 1

    def count(self, scalars: dict[str, Tensor]) -> None:
        """Take scalars into their means."""
        for key, scalar in scalars.items():
            held = self._totals.get(key)
            # In double, or the mean of a thousand steps would depend on the length of the window.
            self._totals[key] = scalar.double() if held is None else held + scalar
            self._added[key] = self._added.get(key, 0) + 1

    def last_loss(self) -> float:
        """Loss of the last turn of the last step; waits for the device."""
        return float(self._losses[self._last][max(self._counts[self._last] - 1, 0)])

    def means(self, ranks: Ranks) -> dict[str, float]:
        """Mean of every scalar over the window and over all processes."""
        means = {key: total / self._added[key] for key, total in self._totals.items()}
        return {key: float(ranks.mean(value)) for key, value in means.items()}

    def first_bad(self, ranks: Ranks) -> Bad | None:
        """The earliest loss that is not finite, in any process."""
        found = None
        count = 0
        for group, losses in self._losses.items():
            seen = ranks.mean(losses[: self._counts[group]])
            # A sum is finite only if all of it is, up to overflow: one number to wait for.
            if math.isfinite(float(seen.double().sum())):
                continue
            bad = (~torch.isfinite(seen)).nonzero()
            count += len(bad)
            step = int(bad[0]) // self._turns[group] + 1
            if found is None or step < found.step:
                found = Bad(group, step, float(seen[bad[0]]), 0)
        return None if found is None else Bad(found.group, found.step, found.value, count)

    def state(self) -> dict[str, Any]:
        """What the window holds."""
        return {
            "losses": {group: v[: self._counts[group]] for group, v in self._losses.items()},
            "totals": dict(self._totals),
            "added": dict(self._added),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self.clear()
        for group, losses in state["losses"].items():
            self._counts[group] = len(losses)
            self._losses[group][: len(losses)] = losses
        device = self._losses[self._last].device
        self._totals = {key: value.to(device) for key, value in state["totals"].items()}
        self._added = dict(state["added"])
