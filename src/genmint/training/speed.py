"""Benchmark of training settings for a model on this machine, with its own data."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.table import Table

from genmint.common.console import table_console
from genmint.common.project import Project
from genmint.config import ModelConfig, Params
from genmint.data.prepared import Prepared
from genmint.data.views import tensors
from genmint.data.views.spec import DataSpec
from genmint.models.shared import store
from genmint.training.devices import (
    can_compute,
    choose_device,
    has_compiler,
    keep_memory,
    resolve_compile,
    resolve_precision,
    share_cores,
)
from genmint.training.hardware import describe_device, unused_gpu
from genmint.training.stepper import Stepper

# Settings are timed in alternating rounds, so that a slowdown of the machine affects all of them.
_ROUNDS = 5
_WARM_UP = 5
# Smaller ratios count as equally fast.
_MARGIN = 1.05


@dataclass(frozen=True)
class SpeedOptions:
    """A combination of training settings.

    Attributes:
        precision: fp32, bf16 or fp16.
        compile: whether torch.compile is used.
        channels_last: whether images are stored with channels innermost.
    """

    precision: str
    compile: bool
    channels_last: bool

    def __str__(self) -> str:
        """Return the settings as written in params.yaml."""
        text = f"precision: {self.precision}, compile: {str(self.compile).lower()}"
        return f"{text}, channels_last: true" if self.channels_last else text


@dataclass(frozen=True)
class Timer:
    """How long a setting is timed.

    Attributes:
        seconds: total training time per setting, without its start.
        clock: returns the time in seconds.
    """

    seconds: float
    clock: Callable[[], float] = time.perf_counter


@dataclass(frozen=True)
class Timing:
    """Speed of a setting.

    Attributes:
        rate: items or symbols per second, median over the rounds.
        start: seconds before the first step, mostly compilation.
        steps: steps per second, median over the rounds.
    """

    rate: float
    start: float
    steps: float


def bench(project: Project, params: Params, name: str, seconds: float) -> list[dict[str, Any]]:
    """Time the possible settings of models.NAME, and recommend one.

    Args:
        project: project with the prepared data.
        params: settings of the project.
        name: name of the model entry.
        seconds: total training time per setting, without its start.

    Returns:
        One object per setting: its options, whether they are those of params.yaml (`present`), and
        the fields of `Timing`.

    Raises:
        DataError: the data are not prepared.
        ConfigError: the model does not fit its data.
    """
    config = params.models[name]
    prepared = Prepared(project.prepared(config.dataset))
    spec = prepared.spec(config.view)
    device = choose_device()
    threads = share_cores()
    keep_memory()
    print(f"{name}: timed on {describe_device(device)}", flush=True)  # noqa: T201
    unused = unused_gpu()
    if unused is not None:
        print(f"{name}: {unused}", file=sys.stderr, flush=True)  # noqa: T201
    present = SpeedOptions(
        resolve_precision(config, device), resolve_compile(config, device), config.channels_last
    )
    settings = [present, *(s for s in _settings(config, spec, device) if s != present)]
    train = tensors.load(prepared, "train", spec)
    labels = tensors.labels_for(config, prepared, "train")
    console = table_console()
    with console.status("") as status:
        timings = measure(
            config, spec, train, settings, device, Timer(seconds), status.update, labels=labels
        )
    unit = "symbols/s" if spec.view == "sequence" else "items/s"
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {threads} threads"
    console.print(_table(f"{name} on {where}", unit, config, present, timings))
    print(advice(name, config, present, timings))  # noqa: T201 - this is what was asked for
    return [
        {**asdict(setting), "present": setting == present, **asdict(timing)}
        for setting, timing in timings.items()
    ]


def measure(
    config: ModelConfig,
    spec: DataSpec,
    train: torch.Tensor,
    settings: list[SpeedOptions],
    device: torch.device,
    timer: Timer,
    tell: Callable[[str], object] = lambda _: None,
    *,
    labels: torch.Tensor | None = None,
) -> dict[SpeedOptions, Timing]:
    """Time each setting.

    Args:
        config: model entry; its own precision, compile and channels_last are ignored.
        spec: data specification.
        train: training split in the view of `spec`.
        settings: settings to compare.
        device: training device.
        timer: how long each setting is timed.
        tell: called with a line of text about the progress.
        labels: labels of the training split, int64 N, for a conditional model.
    """
    runs, clock = {}, timer.clock
    for setting in settings:
        tell(f"starting {setting}")
        changed = config.model_copy(update={"channels_last": setting.channels_last})
        began = clock()
        model = store.build(changed, spec).to(device).train()
        stepper = Stepper(
            model, changed, train, setting.precision, labels=labels, compiled=setting.compile
        )
        steps = _steps(stepper, config.validate_every)
        next(steps)
        _wait(device)
        start = clock() - began
        for _ in range(_WARM_UP):
            next(steps)
        runs[setting] = (steps, start)
    rates: dict[SpeedOptions, list[tuple[float, float]]] = {setting: [] for setting in settings}
    for number in range(_ROUNDS):
        for setting, (steps, _) in runs.items():
            tell(f"round {number + 1} of {_ROUNDS}: {setting}")
            rates[setting].append(_timed(steps, timer.seconds / _ROUNDS, device, clock))
    return {
        setting: Timing(
            statistics.median(amount for amount, _ in times),
            runs[setting][1],
            statistics.median(steps for _, steps in times),
        )
        for setting, times in rates.items()
    }


def advice(
    name: str, config: ModelConfig, present: SpeedOptions, timings: dict[SpeedOptions, Timing]
) -> str:
    """What to set, in a line or two; counts the start of every setting over all of its steps."""

    def total(setting: SpeedOptions) -> float:
        timing = timings[setting]
        return timing.start + config.steps / timing.steps

    fastest = min(timings, key=total)
    if total(present) / total(fastest) < _MARGIN:
        return f"models.{name}: nothing to gain here; leave it as it is."
    text = (
        f"models.{name}: set {fastest}: {config.steps} steps in about {total(fastest):.0f} s "
        f"instead of {total(present):.0f} s here."
    )
    if fastest.precision != present.precision:
        text += f" {fastest.precision} changes the weights: compare the metrics before you keep it."
    return text


def _settings(config: ModelConfig, spec: DataSpec, device: torch.device) -> Iterator[SpeedOptions]:
    offered = ["fp32", "bf16", "fp16"] if device.type == "cuda" else ["fp32", "bf16"]
    precisions = [name for name in offered if can_compute(config, name, device)]
    compiles = [False]
    if config.compilable and has_compiler(device):
        compiles.append(True)
    elif config.compilable:
        print("without a compiler (g++), compile is not tried", file=sys.stderr)  # noqa: T201
    layouts = [False]
    if config.convolves and len(spec.shape) == 3:
        layouts.append(True)
    for precision in precisions:
        for compiled in compiles:
            for layout in layouts:
                yield SpeedOptions(precision, compiled, layout)


def _steps(stepper: Stepper, window: int) -> Iterator[int]:
    """Train endlessly, as the loop does; yield the amount of data of each step."""
    step = 0
    while True:
        yield stepper.step(0)
        step += 1
        if step % window == 0:
            stepper.window.clear()


def _timed(
    steps: Iterator[int], seconds: float, device: torch.device, clock: Callable[[], float]
) -> tuple[float, float]:
    """Return items or symbols per second, and steps per second, over a round."""
    amount = count = 0
    _wait(device)
    began = clock()
    while clock() - began < seconds:
        amount += next(steps)
        count += 1
    _wait(device)
    taken = clock() - began
    return amount / taken, count / taken


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _table(
    title: str,
    unit: str,
    config: ModelConfig,
    present: SpeedOptions,
    timings: dict[SpeedOptions, Timing],
) -> Table:
    table = Table(title=title, box=None, padding=(0, 2), title_justify="left")
    for heading in ("setting", unit, "ratio", "start, s", f"{config.steps} steps, s"):
        table.add_column(heading, justify="left" if heading == "setting" else "right")
    for setting, timing in timings.items():
        table.add_row(
            f"{setting}{' (now)' if setting == present else ''}",
            f"{timing.rate:,.0f}",
            f"{timing.rate / timings[present].rate:.2f}",
            f"{timing.start:.1f}",
            f"{timing.start + config.steps / timing.steps:.0f}",
        )
    return table
