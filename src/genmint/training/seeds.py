"""Several trainings that differ in the seed: which goes on, and how far apart they end."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from genmint.models.family import Family
from genmint.training.loop import Outcome


@dataclass(frozen=True)
class Trained:
    """One of them.

    Attributes:
        seed: that it started from.
        model: with its best weights.
        outcome: of its training.
    """

    seed: int
    model: Family
    outcome: Outcome


def best_of(trained: list[Trained]) -> Trained:
    """The one with the lowest validation loss; among equals the first."""
    return min(trained, key=lambda one: one.outcome.best_loss)


def spread(trained: list[Trained]) -> float:
    """Sample standard deviation of the best validation losses; 0 for a single training."""
    losses = [one.outcome.best_loss for one in trained]
    return statistics.stdev(losses) if len(losses) > 1 else 0.0
