"""Training loop for all model families: `fit` and its result."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from genmint.common.errors import GenmintError
from genmint.config import ModelConfig
from genmint.models.shared.family import Family
from genmint.training.checkpoints import Checkpoint
from genmint.training.devices import keep_memory
from genmint.training.distributed import Ranks
from genmint.training.health import Explosions, NonFiniteFinder
from genmint.training.history import HistoryRow
from genmint.training.interruption import Interrupted, Interruption
from genmint.training.progress import TrainingProgress
from genmint.training.reporter import Reporter
from genmint.training.state import LoopState, on_cpu
from genmint.training.stepper import Stepper

# Steps between checks of the losses, and of interruptions if several processes must agree.
CHECK_EVERY = 50

# Validation has a fixed seed, so that training runs with different seeds are comparable.
_VALIDATION_SEED = 0


@dataclass(frozen=True)
class RecoveryEvent:
    """One return to the last good state.

    Attributes:
        step: step of the failure, from 1.
        what: description of the failure, with the value.
        began_in: layer in which it began, and whether in its output, gradient or weights.
        back_to: step of the restored state.
        lr_factor: factor of the learning rates from then on.
    """

    step: int
    what: str
    began_in: str
    back_to: int
    lr_factor: float


@dataclass(frozen=True)
class TrainingResult:
    """Result of a training run, besides the weights in the model.

    Attributes:
        history: one row per validation.
        best_step: step of the weights that the model now has.
        best_loss: their validation loss.
        steps: number of completed steps; fewer than configured after early stopping.
        seconds: training time, including that of interrupted processes.
        recoveries: recoveries in chronological order.
    """

    history: list[HistoryRow]
    best_step: int
    best_loss: float
    steps: int
    seconds: float
    recoveries: list[RecoveryEvent]


@dataclass(frozen=True)
class TrainingOptions:
    """How a training run is carried out. What is trained is in the model entry.

    Attributes:
        precision: fp32, bf16 or fp16 (autocast; weights and optimisers stay in fp32).
        compiled: use torch.compile for the parts that the family selects.
        channels_last: store images with channels innermost; None: as the model entry sets it.
        reporter: receives every row of the history, including those before an interruption.
        checkpoint: checkpoint to resume from and save to; None: an interruption loses everything.
        ranks: processes that share each batch.
    """

    precision: str = "fp32"
    compiled: bool = False
    channels_last: bool | None = None
    reporter: Reporter | None = None
    checkpoint: Checkpoint | None = None
    ranks: Ranks = field(default_factory=Ranks)


def fit(
    name: str,
    model: Family,
    config: ModelConfig,
    train: Tensor,
    validation: Tensor,
    *,
    labels: tuple[Tensor, Tensor] | None = None,
    options: TrainingOptions | None = None,
) -> TrainingResult:
    """Train `model` on its device, and leave it with its best weights by validation loss.

    What depends on the final weights is then computed (`Family.finish`).

    Args:
        name: name of the model in messages.
        model: model on its device; its weights change.
        config: model entry; `seed` and `steps` determine the run.
        train: training split as returned by `genmint.data.views.tensors.load`.
        validation: validation split, likewise.
        labels: labels of both splits, int64 N each, for a conditional model.
        options: how the run is carried out; None: all defaults.

    Raises:
        GenmintError: a loss was not finite, and recovery did not help.
        ConfigError: the processes cannot share a batch evenly.
        DataError: the training data are empty.
        Interrupted: an interruption was requested; the checkpoint is saved.
    """
    # Denormal numbers appear as activations vanish, and slow down a CPU by a fifth or more.
    torch.set_flush_denormal(True)
    keep_memory()
    options = options or TrainingOptions()
    of_train, of_validation = (None, None) if labels is None else labels
    stepper = Stepper(
        model,
        config,
        train,
        options.precision,
        labels=of_train,
        compiled=options.compiled,
        channels_last=options.channels_last,
        ranks=options.ranks,
    )
    result = _Training(name, stepper, (validation, of_validation), options).run()
    # In every process, so that all of them end with the same model.
    model.finish(train, of_train)
    return result


class _Training:
    def __init__(
        self,
        name: str,
        stepper: Stepper,
        held_out: tuple[Tensor, Tensor | None],
        options: TrainingOptions,
    ) -> None:
        self.name = name
        self.stepper = stepper
        self.model = stepper.model
        self.config = stepper.config
        self.label = name if self.config.seeds == 1 else f"{name}, seed {self.config.seed}"
        self.validation_data, self.validation_labels = held_out
        self.ranks = options.ranks
        self.reporter = options.reporter if options.ranks.leads else None
        self.checkpoint = options.checkpoint
        self.state = LoopState(explosions=Explosions(self.config.recovery.explosion))
        self.recoveries: list[RecoveryEvent] = []
        self.lost = 0
        self.good = self._capture()
        self.seconds_before = 0.0

    def run(self) -> TrainingResult:
        self._resume()
        unit = "symbols" if self.model.spec.view == "sequence" else "items"
        self.model.train()
        state, steps = self.state, self.config.steps
        with (
            Interruption() as interruption,
            TrainingProgress(
                self.label, steps, unit, begin=state.step, quiet=not self.ranks.leads
            ) as progress,
        ):
            while state.step < steps and not self._has_stopped_improving():
                amount = self.stepper.step(state.step, measure=self._measures(state.step + 1))
                state.step += 1
                if progress.due(amount):
                    progress.show(state.step, self.stepper.window.last_loss())
                if self._checks(state.step):
                    self._check()
                self._save_or_end(interruption, progress)
            seconds = self.seconds_before + progress.seconds
        self._save(seconds)
        self.model.load_state_dict(state.best)
        return TrainingResult(
            state.history, state.best_step, state.best_loss, state.step, seconds, self.recoveries
        )

    def _validates(self, step: int) -> bool:
        return step % self.config.validate_every == 0 or step == self.config.steps

    def _checks(self, step: int) -> bool:
        return step % CHECK_EVERY == 0 or self._validates(step)

    def _measures(self, step: int) -> bool:
        """Return whether gradients are measured in this step; it synchronises with the device."""
        return self._checks(step)

    def _has_stopped_improving(self) -> bool:
        patience = self.config.patience
        return patience is not None and self.state.without_improvement >= patience

    def _check(self) -> None:
        """Check the losses and gradients of the last steps, and validate if it is due.

        If the check fails, the last good state is restored.
        """
        step = self.state.step
        bad = self.stepper.window.first_bad(self.ranks)
        if bad is not None:
            first = self.state.validated + bad.step
            self._recover(first, f"the loss of the {bad.group} became {bad.value}", bad.count)
            return
        norm = self.stepper.norms["gradient_norm"]
        limit = self.state.explosions.limit()
        if self.state.explosions.add(norm) and not self.stepper.is_harmless(norm):
            what = f"the gradient's norm became {norm:.4g}, above {limit:.4g}"
            longest = self.stepper.longest if math.isfinite(norm) else None
            self._recover(step, what, 1, longest)
            return
        self._give_up_if_stalled()
        if self._validates(step):
            self._validate()

    def _validate(self) -> None:
        state = self.state
        judged = self.stepper.judged
        data, labels = self.validation_data, self.validation_labels
        scores = judged.validation(
            data, seed=_VALIDATION_SEED, batch_size=self.config.batch_size, labels=labels
        )
        loss = self.ranks.same(scores["loss"], self.model.device)
        if not math.isfinite(loss):
            self._recover(state.step, f"the validation loss became {loss}", 1)
            return
        signals = judged.health(data, seed=_VALIDATION_SEED, labels=labels)
        self.model.train()
        row: HistoryRow = {"step": state.step, "epoch": self.stepper.epoch}
        row |= {f"train_{k}": v for k, v in self.stepper.window.means(self.ranks).items()}
        row |= {f"validation_{key}": value for key, value in scores.items()}
        row |= {"nonfinite": self.lost, "recoveries": len(self.recoveries)}
        row |= self._skipped()
        row |= {**signals, **self.stepper.norms}
        self.lost = 0
        self.stepper.window.clear()
        state.validated = state.step
        state.history.append(row)
        self._report(row)
        if loss < state.best_loss:
            state.best_step, state.best_loss, state.without_improvement = state.step, loss, 0
            state.best = on_cpu(dict(judged.state_dict()))
        else:
            state.without_improvement += 1
        self.good = self._capture()

    def _skipped(self) -> dict[str, int]:
        """Optimizer phases left out since the last validation; empty if none can be left out."""
        total = self.stepper.skipped
        if total is None:
            return {}
        count = total - self.state.skipped
        self.state.skipped = total
        return {"skipped": count}

    def _give_up_if_stalled(self) -> None:
        group = self.stepper.stalled
        if group is None:
            return
        if self.checkpoint is not None:
            self.checkpoint.delete()
        norm = self.stepper.norms["gradient_norm"]
        raise GenmintError(
            f"models.{self.label}: the gradients of the {group} have been above skip_norm for too "
            f"long; that of step {self.state.step} has the norm {norm:.4g}. Nothing was written. "
            f"Raise skip_norm in models.{self.name}, or leave it out."
        )

    def _report(self, row: HistoryRow) -> None:
        if self.reporter is not None:
            values = {key: float(value) for key, value in row.items() if key != "step"}
            self.reporter.metrics(int(row["step"]), values)

    def _recover(self, step: int, what: str, count: int, began_in: str | None = None) -> None:
        """Restore the last good state with a lower learning rate, or give up.

        If the origin is unknown, the steps since then are repeated with every layer monitored.
        Monitoring thus costs nothing in normal operation, and repeated steps fail in the same
        place.
        """
        self.lost += count
        self._restore(self.good)
        if began_in is None:
            began_in = self._diagnose(step)
            self._restore(self.good)
        settings = self.config.recovery
        factor = settings.lr_factor ** (len(self.recoveries) + 1)
        event = RecoveryEvent(step, what, began_in, self.state.step, factor)
        if len(self.recoveries) >= settings.attempts:
            if self.checkpoint is not None:
                self.checkpoint.delete()
            raise GenmintError(self._advice(event))
        self.recoveries.append(event)
        self.stepper.lr_factor = factor
        if self.ranks.leads:
            print(  # noqa: T201 - a training says what it does to itself
                f"{self.label}: at step {step} {what}; it began in {began_in}. Back to step "
                f"{event.back_to}, learning rates times {factor:g} from there."
            )

    def _diagnose(self, step: int) -> str:
        probe = NonFiniteFinder(self.model)
        with probe.watching(), torch.compiler.set_stance("force_eager"):
            while self.state.step < step:
                self.stepper.step(self.state.step, probe=probe)
                self.state.step += 1
        layer = next((where for where in self.ranks.gather(probe.location) if where), None)
        return layer or "no layer: all values were finite when the same steps were repeated"

    def _advice(self, last: RecoveryEvent) -> str:
        block = f"models.{self.name}"
        tried = len(self.recoveries)
        before = f" after {tried} recoveries with lower learning rates" if tried else ""
        return (
            f"models.{self.label}: {last.what} at step {last.step} of {self.config.steps}{before}; "
            f"it began in {last.began_in}. Nothing was written. Lower the learning rate in "
            f"{block}, or set its clip_norm."
        )

    def _save_or_end(self, interruption: Interruption, progress: TrainingProgress) -> None:
        """Save a checkpoint if it is due, or if an interruption was requested."""
        if self.ranks.world == 1:
            ends = interruption.requested
            due = self.checkpoint is not None and self.checkpoint.due()
        elif self._checks(self.state.step):
            # All processes must take the same decision in the same step.
            device = self.model.device
            ends = self.ranks.any(interruption.requested, device)
            mine = self.checkpoint is not None and self.checkpoint.due()
            due = self.ranks.same(float(mine), device) > 0
        else:
            return
        if not (ends or due):
            return
        self._save(self.seconds_before + progress.seconds)
        if ends:
            kept = (
                "The same command resumes from here."
                if self.checkpoint is not None
                else "There is no checkpoint."
            )
            raise Interrupted(f"stopped after step {self.state.step}. {kept}")

    def _save(self, seconds: float) -> None:
        if self.checkpoint is None:
            return
        self.checkpoint.save(
            {
                "now": self._capture(),
                "good": self.good,
                "recoveries": [dataclasses.asdict(event) for event in self.recoveries],
                "lost": self.lost,
                "seconds": seconds,
            }
        )

    def _capture(self) -> dict[str, Any]:
        # The best weights are already a copy; not copying them again stores them once per
        # checkpoint.
        return {"training": self.state.capture(), "steps": on_cpu(self.stepper.capture())}

    def _restore(self, captured: dict[str, Any]) -> None:
        self.state.restore(captured["training"])
        self.stepper.restore(captured["steps"])
        self.model.train()

    def _resume(self) -> None:
        content = None if self.checkpoint is None else self.checkpoint.load()
        if content is None:
            return
        self.good = content["good"]
        self.recoveries = [RecoveryEvent(**event) for event in content["recoveries"]]
        self.lost = content["lost"]
        self.seconds_before = content["seconds"]
        self._restore(content["now"])
        if self.recoveries:
            self.stepper.lr_factor = self.recoveries[-1].lr_factor
        for row in self.state.history:
            self._report(row)
        if self.ranks.leads:
            print(  # noqa: T201 - what the user waits to hear after a kill
                f"{self.label}: resumes from step {self.state.step} of {self.config.steps}"
            )
