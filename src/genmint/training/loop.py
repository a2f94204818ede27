"""The one training loop, for all families."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from genmint.errors import GenmintError
from genmint.models.blocks import seeded
from genmint.models.family import Config, Family, Loss
from genmint.training.batches import Batch, batches
from genmint.training.history import Row
from genmint.training.optimisers import Descent
from genmint.training.progress import TrainingProgress
from genmint.training.reporter import Reporter

# Purposes of the seed: order of the data, the model's own noise. The weights' start has the first.
_ORDER, _NOISE = 11, 12

# The seed of validation is not the configuration's: two seeds of one model are judged alike.
_VALIDATION_SEED = 0


@dataclass(frozen=True)
class Outcome:
    """What a training left behind, besides the weights in the model.

    Attributes:
        history: one row a validation.
        best_step: the step whose weights the model now has.
        best_loss: their loss on the validation split.
        seconds: that the loop took.
    """

    history: list[Row]
    best_step: int
    best_loss: float
    seconds: float


def fit(
    name: str,
    model: Family,
    config: Config,
    train: Tensor,
    validation: Tensor,
    *,
    precision: str = "fp32",
    reporter: Reporter | None = None,
) -> Outcome:
    """Train `model` where it lies, and leave it with its best weights by validation.

    Args:
        name: what messages call the model.
        model: on its device; its weights change.
        config: its block; `seed` and `steps` decide what happens.
        train: the training split as `genmint.data.views.load` gives it.
        validation: the validation split likewise.
        precision: fp32 or bf16 (autocast; weights and optimisers stay in fp32).
        reporter: hears of every row of the history.

    Raises:
        GenmintError: a loss was not finite.
        DataError: there is nothing to learn from.
    """
    # Denormal numbers appear as activations die away, and slow a CPU down by a fifth and more.
    torch.set_flush_denormal(True)
    return _Training(name, model, config, train, validation, precision, reporter).run()


class _Training:
    def __init__(
        self,
        name: str,
        model: Family,
        config: Config,
        train: Tensor,
        validation: Tensor,
        precision: str,
        reporter: Reporter | None,
    ) -> None:
        self.name = name
        self.model = model
        self.config = config
        self.validation_data = validation
        self.reporter = reporter
        self.device = model.device
        self.autocast = precision == "bf16"
        self.noise = seeded(config.seed, _NOISE, self.device)
        self.batches = batches(
            train.to(self.device),
            model.spec,
            config.batch_size,
            seeded(config.seed, _ORDER),
            bptt=config.bptt if config.family == "rnn" else None,
        )
        self.descents = {
            group: Descent(settings, parameters, config.steps)
            for group, (settings, parameters) in model.optimisers().items()
        }
        self.history: list[Row] = []
        self.window = _Window(list(self.descents), config.validate_every, self.device)
        self.best_step = 0
        self.best_loss = math.inf
        self.best: dict[str, Tensor] = {}

    def run(self) -> Outcome:
        unit = "symbols" if self.model.spec.view == "sequence" else "items"
        self.model.train()
        with TrainingProgress(self.name, self.config.steps, unit) as progress:
            for step in range(1, self.config.steps + 1):
                batch = next(self.batches)
                self._step(step, batch)
                if progress.due(batch.amount):
                    progress.show(step, self.window.last_loss())
                if step % self.config.validate_every == 0 or step == self.config.steps:
                    self._validate(step, batch.epoch)
            seconds = progress.seconds
        self.model.load_state_dict(self.best)
        return Outcome(self.history, self.best_step, self.best_loss, seconds)

    def _step(self, step: int, batch: Batch) -> None:
        losses = self.model.losses(batch.data, self.noise, fresh=batch.fresh)
        while (loss := self._next_loss(losses)) is not None:
            self.descents[loss.group].step(loss.value, step - 1)
            self.window.add(loss)

    def _next_loss(self, losses: Iterator[Loss]) -> Loss | None:
        # Only what the family computes is cast: the optimisers work in fp32.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            return next(losses, None)

    def _validate(self, step: int, epoch: float) -> None:
        self._refuse_nonfinite(step)
        scores = self.model.validation(
            self.validation_data, seed=_VALIDATION_SEED, batch_size=self.config.batch_size
        )
        self.model.train()
        row: Row = {"step": step, "epoch": epoch}
        row |= {f"train_{key}": value for key, value in self.window.means().items()}
        row |= {f"validation_{key}": value for key, value in scores.items()}
        row["nonfinite"] = self.window.nonfinite
        self.window.clear()
        self.history.append(row)
        if self.reporter is not None:
            self.reporter.metrics(step, {k: float(v) for k, v in row.items() if k != "step"})
        if not math.isfinite(scores["loss"]):
            raise GenmintError(self._advice(step, "the validation loss", scores["loss"]))
        if scores["loss"] < self.best_loss:
            self.best_step, self.best_loss = step, scores["loss"]
            self.best = {key: value.clone() for key, value in self.model.state_dict().items()}

    def _refuse_nonfinite(self, step: int) -> None:
        """Stop at the first loss of the window that was not finite.

        Curing it (clipping, going back to the best weights) has its place here.
        """
        found = self.window.first_nonfinite()
        if found is not None:
            group, offset, value = found
            first = step - self.window.filled + 1
            raise GenmintError(self._advice(first + offset, f"the loss of the {group}", value))

    def _advice(self, step: int, what: str, value: float) -> str:
        block = f"models.{self.name}"
        return (
            f"{block}: {what} became {value} at step {step} of {self.config.steps}; nothing was "
            f"written. Lower the learning rate in {block}, or set its clip_norm."
        )


class _Window:
    """Losses and scalars of the steps since the last validation, kept on the device."""

    def __init__(self, groups: list[str], size: int, device: torch.device) -> None:
        self.losses = {group: torch.zeros(size, device=device) for group in groups}
        self.nonfinite = 0
        self.last = groups[-1]
        self.clear()

    def clear(self) -> None:
        self.counts = dict.fromkeys(self.losses, 0)
        self.totals: dict[str, Tensor] = {}

    @property
    def filled(self) -> int:
        return self.counts[self.last]

    def add(self, loss: Loss) -> None:
        self.losses[loss.group][self.counts[loss.group]] = loss.value.detach()
        self.counts[loss.group] += 1
        for key, value in loss.scalars.items():
            held = self.totals.get(key)
            # In double, or the mean of a thousand steps would depend on the length of the window.
            self.totals[key] = value.double() if held is None else held + value

    def last_loss(self) -> float:
        return float(self.losses[self.last][max(self.filled - 1, 0)])

    def means(self) -> dict[str, float]:
        return {key: float(total) / self.filled for key, total in self.totals.items()}

    def first_nonfinite(self) -> tuple[str, int, float] | None:
        """Group, index and value of the earliest loss that is not finite, if there is one."""
        found = None
        for group, losses in self.losses.items():
            bad = (~torch.isfinite(losses[: self.counts[group]])).nonzero()
            self.nonfinite += len(bad)
            if len(bad) and (found is None or int(bad[0]) < found[1]):
                found = group, int(bad[0]), float(losses[bad[0]])
        return found
