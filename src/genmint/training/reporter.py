"""Who else hears of a training: the loop knows nothing of trackers."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Takes numbers as they arise; must neither raise into the training nor hold it up."""

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Named values after `step` steps."""
