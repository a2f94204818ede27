"""One training step: optimizer phases, accumulation, precision and weight averaging."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from genmint.common.errors import ConfigError
from genmint.config import ModelConfig
from genmint.models.shared.blocks import seeded
from genmint.models.shared.family import Family, OptimizerPhase
from genmint.models.shared.noise import Noise
from genmint.training.augmentation import augmented
from genmint.training.batches import Batch, batches
from genmint.training.distributed import Ranks, objective, synchronise
from genmint.training.health import NonFiniteFinder, layer_norms
from genmint.training.optimisers import Descent
from genmint.training.state import on_cpu, on_device
from genmint.training.window import LossWindow

# Seed purposes: order of the data, and the model's noise. Another constant is used for initial
# weights.
_ORDER, _NOISE = 11, 12

# Optimizer phases left out in a row after which no further one is expected to be different.
_STALLED = 50

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Stepper:
    """Runs training steps on a model.

    Attributes:
        model: model that is trained.
        config: model entry.
        window: losses and scalars since the last clearing.
        scaled: whether gradients are computed in float16, whose overflows are expected.
        epoch: passes over the training split.
        lr_factor: additional factor of the scheduled learning rates.
    """

    def __init__(
        self,
        model: Family,
        config: ModelConfig,
        train: Tensor,
        precision: str,
        *,
        labels: Tensor | None = None,
        compiled: bool = False,
        channels_last: bool | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        """Prepare training; arguments as for `genmint.training.loop.fit`.

        `labels` are those of `train`. Without `channels_last`, the value of the model entry counts,
        and `auto` is false.

        Raises:
            ConfigError: the processes cannot share a batch evenly.
            DataError: the training data are empty.
        """
        ranks = ranks or Ranks()
        _check_shares(config, ranks)
        self.config = config
        self.model = synchronise(model, ranks)
        model.learns_from(train, labels)
        self._device = model.device
        self._dtype = _AUTOCAST.get(precision)
        innermost = config.channels_last is True if channels_last is None else channels_last
        if innermost:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # Average the original modules; the compiled ones share their weights.
        self._average = _average_of(model, config)
        if compiled:
            self.model.compile()
        self._objective = objective(self.model, ranks)
        self._noise = seeded(config.seed, _NOISE, self._device)
        self._draws = Noise(self._noise, ranks.rank, ranks.world)
        self._batches = batches(
            train.to(self._device),
            model.spec,
            config.batch_size,
            seeded(config.seed, _ORDER),
            labels=None if labels is None else labels.to(self._device),
            bptt=config.batching.symbols,
            random_offsets=config.batching.random_offsets,
            ranks=ranks,
        )
        self._augment = config.batching.augment
        self._descents = {
            group: Descent(settings, parameters, config.steps, scaled=precision == "fp16")
            for group, (settings, parameters) in model.optimisers().items()
        }
        self._phases = model.phases()
        self.window = self._new_window()
        self._ranks = ranks
        self._batch: Batch | None = None
        self._layers: dict[str, float] = {}
        self.scaled = precision == "fp16"
        self.epoch = 0.0
        self.lr_factor = 1.0

    def _new_window(self) -> LossWindow:
        phases = Counter(phase.group for phase in self._phases)
        per_step = {group: phases[group] for group in self._descents}
        return LossWindow(per_step, self.config.validate_every, self._device)

    @property
    def judged(self) -> Family:
        """The model that is validated and kept: the averaged one, if averaging is on."""
        if self._average is None:
            return self.model
        return cast(Family, self._average.module)

    def step(
        self, step: int, *, measure: bool = False, probe: NonFiniteFinder | None = None
    ) -> int:
        """Run step `step`, counted from 0.

        Args:
            step: determines the learning rates and all other schedules.
            measure: whether to measure gradient norms.
            probe: checks gradients and weights.

        Returns:
            Number of items, or symbols of sequences, in the step.
        """
        amount = 0
        self.model.begin(step)
        for phase in self._phases:
            amount += self._phase(phase, step, measure, probe)
        self.model.end(step, self._ranks.mean)
        if self._average is not None:
            if self.config.ema_schedule is not None:
                self._average.multi_avg_fn = get_ema_multi_avg_fn(self.config.ema_at(step))
            self._average.update_parameters(self.model)
        return amount

    def _phase(
        self, phase: OptimizerPhase, step: int, measure: bool, probe: NonFiniteFinder | None
    ) -> int:
        descent = self._descents[phase.group]
        descent.clear()
        parts = self.config.accumulate
        total: Tensor | None = None
        amount = 0
        for part in range(parts):
            if phase.data or self._batch is None:
                self._batch = self._next()
                amount += self._batch.amount
            with self._reduces(last=part == parts - 1):
                value, scalars = self._loss(phase.group, self._batch)
                descent.backward(value if parts == 1 else value / parts)
            mean = value.detach() / parts
            total = mean if total is None else total + mean
            self.window.count(scalars)
        assert total is not None
        if measure or probe is not None:
            descent.unscale()
        if measure:
            self._measure(phase)
        if probe is not None:
            probe.check_gradients()
        descent.step(step, self.lr_factor)
        if probe is not None:
            probe.check_weights()
        self.window.add(phase.group, total)
        return amount

    def _next(self) -> Batch:
        batch = self._batches.next()
        self.epoch = batch.epoch
        if self._augment is None:
            return batch
        data = augmented(
            batch.data, self._augment, self._draws, sound=self.model.spec.kind == "audio"
        )
        return replace(batch, data=data)

    def _loss(self, group: str, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        # Autocast covers the family's loss only; optimisers work in fp32.
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not None):
            return self._objective(group, batch.data, self._draws, batch.fresh, batch.labels)

    @contextlib.contextmanager
    def _reduces(self, *, last: bool) -> Iterator[None]:
        """Synchronise gradients between processes only in the last part of an accumulated batch."""
        if last or not isinstance(self._objective, DistributedDataParallel):
            yield
        else:
            with self._objective.no_sync():
                yield

    def _measure(self, phase: OptimizerPhase) -> None:
        """Measure the gradient norms of this phase before clipping."""
        norms = layer_norms(self.model, self._descents[phase.group].parameters)
        if self.scaled and self._layers.keys() >= norms.keys():
            # float16 loss scaling overflows occasionally; such a step is skipped and is not
            # informative.
            norms = {name: value for name, value in norms.items() if math.isfinite(value)}
        self._layers |= norms

    @property
    def norms(self) -> dict[str, float]:
        """`gradient_norm` and `gradient_norm.LAYER`, as last measured."""
        total = math.sqrt(sum(value**2 for value in self._layers.values()))
        layers = {f"gradient_norm.{name}": value for name, value in self._layers.items()}
        return {"gradient_norm": total, **layers}

    @property
    def skipped(self) -> int | None:
        """Number of optimizer phases left out so far; None if none can be (`skip_norm`)."""
        descents = self._descents.values()
        if all(descent.settings.skip_norm is None for descent in descents):
            return None
        return sum(descent.skipped for descent in descents)

    @property
    def stalled(self) -> str | None:
        """A parameter group that did not change in many phases, as all were left out; or None."""
        groups = (g for g, descent in self._descents.items() if descent.skipped_last >= _STALLED)
        return next(groups, None)

    def is_harmless(self, norm: float) -> bool:
        """Return whether a huge gradient had no effect: clipped, or its step left out.

        `norm` is that of the last step.
        """
        if all(descent.skipped_last for descent in self._descents.values()):
            return True
        if not math.isfinite(norm):
            return self.scaled
        return all(descent.is_limited for descent in self._descents.values())

    @property
    def longest(self) -> str:
        """Text that names the layer with the largest gradient at the last measurement."""
        return f"the gradient of {max(self._layers, key=self._layers.__getitem__)}"

    def capture(self) -> dict[str, Any]:
        """Return the state of all processes that the next step depends on, without copying it."""
        return {
            "model": self.model.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "carried": self._ranks.gather(on_cpu(self.model.carried())),
            "descents": {group: descent.state() for group, descent in self._descents.items()},
            "noise": self._noise.get_state(),
            "batches": self._batches.state(),
            "window": self._ranks.gather(on_cpu(self.window.state())),
            "layers": dict(self._layers),
        }

    def restore(self, captured: dict[str, Any]) -> None:
        """Restore a state returned by `capture`, from any device."""
        self.model.load_state_dict(captured["model"])
        if self._average is not None:
            self._average.load_state_dict(captured["average"])
        self.model.carry(on_device(captured["carried"][self._ranks.rank], self._device))
        for group, descent in self._descents.items():
            descent.restore(captured["descents"][group])
            # Otherwise a diagnosis would find the remaining gradients of the failed attempt.
            descent.clear()
        self._noise.set_state(captured["noise"].cpu())
        self._batches.restore(captured["batches"])
        self.window.restore(captured["window"][self._ranks.rank])
        self._layers = dict(captured["layers"])


def _check_shares(config: ModelConfig, ranks: Ranks) -> None:
    if config.batch_size % ranks.world:
        raise ConfigError(
            f"batch_size {config.batch_size} cannot be shared by {ranks.world} processes: "
            "make it a multiple"
        )


def _average_of(model: Family, config: ModelConfig) -> AveragedModel | None:
    """Moving average of the weights; None if the model entry has none."""
    if not config.averages:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema))
