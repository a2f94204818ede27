"""Training runs that differ by seed: selection of the best, and their variation."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from genmint.models.shared.family import Family
from genmint.training.loop import TrainingResult


@dataclass(frozen=True)
class Trained:
    """Result of one training run.

    Attributes:
        seed: seed of the training run.
        model: model with its best weights.
        outcome: outcome of the training run.
    """

    seed: int
    model: Family
    outcome: TrainingResult


def best_of(trained: list[Trained]) -> Trained:
    """Return the training run with the lowest validation loss; the first one of equals."""
    return min(trained, key=lambda one: one.outcome.best_loss)


def loss_deviation(trained: list[Trained]) -> float:
    """Return the sample standard deviation of the best validation losses; 0 for a single run."""
    losses = [one.outcome.best_loss for one in trained]
    return statistics.stdev(losses) if len(losses) > 1 else 0.0
