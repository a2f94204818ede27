"""Interface for reporting training metrics, which keeps the loop independent of trackers."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Receives metrics during training; must neither raise nor block."""

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Report named values after `step` steps."""
