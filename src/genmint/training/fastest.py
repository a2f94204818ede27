"""The fastest settings of a model on this machine: what `auto` is in long training runs.

The settings that `genmint bench` compares are timed in alternation, a second each. What was
measured is recorded (`speed_records`), and the choice is a function of the record and of the number
of steps alone. So training runs on one kind of machine repeat, and only the first one measures.

Nothing is measured for a run that is not 20 times as long as the measurement. Such a run takes the
settings by rule (`options.by_rule`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from genmint.config import ModelConfig
from genmint.data.views.spec import DataSpec
from genmint.training.idle_clock import IdleClock
from genmint.training.options import SpeedOptions, allowed, by_rule
from genmint.training.speed import MARGIN, Timer, Timing, measure
from genmint.training.speed_records import RecordFile, SpeedRecord, Timed, record_file

# No run of fewer steps is long enough, however slow its steps are: a measurement takes steps, too.
FEWEST_STEPS = 500
# A run is this many times as long as the measurement for it.
_WORTHWHILE = 20
# Seconds that each setting is timed, and the steps that it takes at least: to start, and one in
# each round.
_SECONDS, _WARM_UP, _ROUNDS = 1.0, 2, 5
# Seconds that compilation takes, roughly; up to two minutes on a CPU.
_COMPILATION = 90.0
# Possible for every network on every device.
PLAINEST = SpeedOptions("fp32", compile=False, channels_last=False)
# Seconds of the probe of the plainest setting.
_PROBE = 0.1


@dataclass(frozen=True)
class Bench:
    """What settings are timed with.

    Attributes:
        config: model entry.
        spec: description of its data.
        device: training device.
        train: loads the training split in the view of `spec`.
        labels: loads the labels of the training split, for a conditional model.
        clock: returns the time in seconds.
        tell: called with a line of text before settings are timed.
    """

    config: ModelConfig
    spec: DataSpec
    device: torch.device
    train: Callable[[], Tensor]
    labels: Callable[[], Tensor | None] = lambda: None
    clock: Callable[[], float] = field(default_factory=IdleClock)
    tell: Callable[[str], object] = lambda _: None

    def time(self, settings: list[SpeedOptions], seconds: float) -> dict[SpeedOptions, Timing]:
        """Time settings in alternation; random generators are as before afterwards."""
        timer = Timer(seconds, self.clock, rounds=_ROUNDS, warm_up=_WARM_UP)
        train, labels = self.train(), self.labels()
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            timings = measure(
                self.config, self.spec, train, settings, self.device, timer, labels=labels
            )
        if any(each.compile for each in settings):
            torch.compiler.reset()
        return timings


def fastest(bench: Bench, folder: Path | None, processes: int = 1) -> SpeedOptions:
    """The settings of a training run; measures and records what is not recorded yet.

    Args:
        bench: what settings are timed with.
        folder: of the records; None: nothing is read or written.
        processes: number of processes that share a batch.

    Raises:
        ConfigError: the device cannot compute what the model entry requests.
        GenmintError: a record is damaged.
    """
    config, spec, device = bench.config, bench.spec, bench.device
    record = measured(bench, record_file(folder, config, spec, device, processes))
    return choose(config, spec, device, record)


def choose(
    config: ModelConfig, spec: DataSpec, device: torch.device, record: SpeedRecord | None
) -> SpeedOptions:
    """The settings of a training run, given what was measured; measures nothing.

    The plainest setting that is at most 5 % slower than the fastest is taken: fp32 before bf16,
    eager before compiled, channels outermost before innermost.
    """
    rule = by_rule(config, device)
    if record is None or config.steps < FEWEST_STEPS:
        return rule
    eager = _eager(config, spec, device)
    best = dataclasses.replace(rule, compile=config.compile is True)
    if len(eager) > 1 and _pays(config, record, eager):
        known = [timed for options in eager if (timed := record.of(options)) is not None]
        if len(known) < len(eager):
            return rule
        best = _plainest(known, config.steps)
    if config.compile != "auto":
        return best
    compiled = dataclasses.replace(best, compile=True)
    plain, translated = record.of(best), record.of(compiled)
    if not _compiling_pays(config, record) or plain is None or translated is None:
        return dataclasses.replace(best, compile=rule.compile)
    return _plainest([plain, translated], config.steps)


def measured(bench: Bench, file: RecordFile) -> SpeedRecord | None:
    """Measure what `choose` needs for this training run and the record lacks; return the record.

    Raises:
        GenmintError: the record is damaged.
    """
    config, spec, device = bench.config, bench.spec, bench.device
    record = file.read()
    choices = allowed(config, spec, device)
    if config.steps < FEWEST_STEPS or len(choices) < 2:
        return record
    if record is None:
        record = _probed(bench, file)
        file.write(record)
    eager = _eager(config, spec, device)
    if len(eager) > 1 and _pays(config, record, eager) and not all(map(record.of, eager)):
        bench.tell(f"{len(eager)} settings are timed once, to take the fastest")
        record = with_timings(record, bench.time(eager, _SECONDS))
        file.write(record)
    best = dataclasses.replace(choose(config, spec, device, record), compile=False)
    compiled = dataclasses.replace(best, compile=True)
    both_possible = best in choices and compiled in choices
    if both_possible and _compiling_pays(config, record) and record.of(compiled) is None:
        bench.tell("compilation is timed once, which takes a minute or two")
        try:
            record = _with_compiled(record, best, compiled, bench)
        except RuntimeError as error:
            # Of the compiler; the training run does without it.
            bench.tell(f"compilation failed, and is not used: {str(error).splitlines()[0]}")
        else:
            file.write(record)
    return record


def _eager(config: ModelConfig, spec: DataSpec, device: torch.device) -> list[SpeedOptions]:
    """The allowed settings, compared without compilation unless the entry requires it."""
    required = config.compile is True
    return [each for each in allowed(config, spec, device) if each.compile == required]


def _pays(config: ModelConfig, record: SpeedRecord, settings: list[SpeedOptions]) -> bool:
    """Whether the training run is long enough to time these settings for it."""
    steps = 1 + _WARM_UP + _ROUNDS
    seconds = len(settings) * (_SECONDS + steps * record.step_seconds)
    if config.compile is True:
        seconds += len(settings) * _COMPILATION
    return config.steps * record.step_seconds >= _WORTHWHILE * seconds


def _compiling_pays(config: ModelConfig, record: SpeedRecord) -> bool:
    """Whether the training run is long enough to time its compilation."""
    return config.steps * record.step_seconds >= _WORTHWHILE * _COMPILATION


def _plainest(timed: list[Timed], steps: int) -> SpeedOptions:
    """The first of these settings that is at most 5 % slower than the fastest over all steps."""
    totals = [each.start * each.compile + steps / each.steps_per_second for each in timed]
    fits = (each for each, total in zip(timed, totals, strict=True) if total < MARGIN * min(totals))
    return next(fits).options


def _probed(bench: Bench, file: RecordFile) -> SpeedRecord:
    """A record with the time of a step alone, from a few steps of the plainest setting."""
    timing = bench.time([PLAINEST], _PROBE)[PLAINEST]
    return SpeedRecord(machine=file.machine, network=file.network, step_seconds=1 / timing.steps)


def _with_compiled(
    record: SpeedRecord, best: SpeedOptions, compiled: SpeedOptions, bench: Bench
) -> SpeedRecord:
    """The record with a compiled setting, timed in alternation with the same one eager.

    A recorded speed of `best` stays: the choice between the eager settings must not change. The
    speed of `compiled` is recorded in proportion to it.
    """
    timings = bench.time([best, compiled], _SECONDS)
    before = record.of(best)
    if before is None:
        return with_timings(record, timings)
    now = timings[compiled]
    steps = before.steps_per_second * now.steps / timings[best].steps
    return with_timings(record, {compiled: dataclasses.replace(now, steps=steps)})


def recorded(file: RecordFile, timings: dict[SpeedOptions, Timing]) -> SpeedRecord:
    """A new record of these timings, which have that of the plainest setting."""
    record = SpeedRecord(
        machine=file.machine, network=file.network, step_seconds=1 / timings[PLAINEST].steps
    )
    return with_timings(record, timings)


def with_timings(record: SpeedRecord, timings: dict[SpeedOptions, Timing]) -> SpeedRecord:
    """The record with these timings in the place of earlier ones of the same settings."""
    kept = [each for each in record.timed if each.options not in timings]
    new = [
        Timed(
            precision=options.precision,  # type: ignore[arg-type]
            compile=options.compile,
            channels_last=options.channels_last,
            steps_per_second=timing.steps,
            start=timing.start,
        )
        for options, timing in timings.items()
    ]
    return record.model_copy(update={"timed": (*kept, *new)})
