"""What makes a model's training fastest on this machine, measured on its own data."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table

from genmint.config import Params
from genmint.data import views
from genmint.data.prepared import Prepared
from genmint.data.spec import DataSpec
from genmint.models import store
from genmint.models.family import Config
from genmint.project import Project
from genmint.training.devices import (
    can_compute,
    choose_device,
    has_compiler,
    keep_memory,
    resolve_compile,
    resolve_precision,
    share_cores,
)
from genmint.training.hardware import describe, unused_gpu
from genmint.training.stepper import Stepper

# Every setting is timed in as many rounds as the others, in turn: a machine that slows down then
# slows all of them.
_ROUNDS = 5
_WARM_UP = 5
# Below this, two settings are equally fast.
_MARGIN = 1.05


@dataclass(frozen=True)
class Setting:
    """A way to train.

    Attributes:
        precision: fp32, bf16 or fp16.
        compile: whether torch.compile translates the model.
        channels_last: whether images lie with the channels innermost.
    """

    precision: str
    compile: bool
    channels_last: bool

    def __str__(self) -> str:
        """As it stands in params.yaml."""
        said = f"precision: {self.precision}, compile: {str(self.compile).lower()}"
        return f"{said}, channels_last: true" if self.channels_last else said


@dataclass(frozen=True)
class Timing:
    """How fast a setting is.

    Attributes:
        rate: items or symbols a second, median over the rounds.
        start: seconds before the first step, most of which is translation.
        steps: steps a second, median over the rounds.
    """

    rate: float
    start: float
    steps: float


def bench(project: Project, params: Params, name: str, seconds: float) -> None:
    """Time the settings that models.NAME could have, and say which to set.

    Args:
        project: whose prepared data are used.
        params: its params.yaml.
        name: of the model's block.
        seconds: that each setting trains in all, besides its start.

    Raises:
        DataError: the data are not prepared.
        ConfigError: the model does not fit its data.
    """
    config = params.models[name]
    prepared = Prepared(project.prepared(config.dataset))
    spec = prepared.spec(config.family)
    device = choose_device()
    threads = share_cores()
    keep_memory()
    print(f"{name}: is timed on {describe(device)}", flush=True)  # noqa: T201
    unused = unused_gpu()
    if unused is not None:
        print(f"{name}: {unused}", file=sys.stderr, flush=True)  # noqa: T201
    present = Setting(
        resolve_precision(config, device), resolve_compile(config, device), config.channels_last
    )
    settings = [present, *(s for s in _settings(config, spec, device) if s != present)]
    train = views.load(prepared, "train", spec)
    labels = views.labels_for(config, prepared, "train")
    console = Console()
    with console.status("") as status:
        timings = measure(
            config, spec, train, settings, device, seconds, status.update, labels=labels
        )
    unit = "symbols/s" if spec.view == "sequence" else "items/s"
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {threads} threads"
    console.print(_table(f"{name} on {where}", unit, config, present, timings))
    print(advice(name, config, present, timings))  # noqa: T201 - this is what was asked for


def measure(
    config: Config,
    spec: DataSpec,
    train: torch.Tensor,
    settings: list[Setting],
    device: torch.device,
    seconds: float,
    tell: Callable[[str], object] = lambda _: None,
    *,
    labels: torch.Tensor | None = None,
) -> dict[Setting, Timing]:
    """Time each setting; `tell` hears in words what is being done.

    Args:
        config: the model's block; its own precision, compile and channels_last do not matter.
        spec: of the data.
        train: training split in the view of `spec`.
        settings: to compare.
        device: where to train.
        seconds: that each setting trains in all, besides its start.
        tell: called with a line of text.
        labels: of the training split, int64 N, for a conditional model.
    """
    runs = {}
    for setting in settings:
        tell(f"starting {setting}")
        changed = config.model_copy(update={"channels_last": setting.channels_last})
        began = time.perf_counter()
        model = store.build(changed, spec).to(device).train()
        stepper = Stepper(
            model, changed, train, setting.precision, labels=labels, compiled=setting.compile
        )
        steps = _steps(stepper, config.validate_every)
        next(steps)
        _wait(device)
        start = time.perf_counter() - began
        for _ in range(_WARM_UP):
            next(steps)
        runs[setting] = (steps, start)
    rates: dict[Setting, list[tuple[float, float]]] = {setting: [] for setting in settings}
    for number in range(_ROUNDS):
        for setting, (steps, _) in runs.items():
            tell(f"round {number + 1} of {_ROUNDS}: {setting}")
            rates[setting].append(_timed(steps, seconds / _ROUNDS, device))
    return {
        setting: Timing(
            statistics.median(amount for amount, _ in found),
            runs[setting][1],
            statistics.median(steps for _, steps in found),
        )
        for setting, found in rates.items()
    }


def advice(name: str, config: Config, present: Setting, timings: dict[Setting, Timing]) -> str:
    """What to set, in a line or two; counts the start of every setting over all of its steps."""

    def total(setting: Setting) -> float:
        timing = timings[setting]
        return timing.start + config.steps / timing.steps

    fastest = min(timings, key=total)
    if total(present) / total(fastest) < _MARGIN:
        return f"models.{name}: nothing to gain here; leave it as it is."
    said = (
        f"models.{name}: set {fastest}: {config.steps} steps in about {total(fastest):.0f} s "
        f"instead of {total(present):.0f} s here."
    )
    if fastest.precision != present.precision:
        said += f" {fastest.precision} changes the weights: compare the metrics before you keep it."
    return said


def _settings(config: Config, spec: DataSpec, device: torch.device) -> Iterator[Setting]:
    offered = ["fp32", "bf16", "fp16"] if device.type == "cuda" else ["fp32", "bf16"]
    precisions = [name for name in offered if can_compute(config, name, device)]
    compiles = [False]
    if config.family == "rnn":
        pass  # Recurrent layers run in kernels that a translation does not touch.
    elif has_compiler(device):
        compiles.append(True)
    else:
        print("without a compiler (g++), compile is not tried", file=sys.stderr)  # noqa: T201
    layouts = [False]
    if config.family != "rnn" and config.network != "mlp" and len(spec.shape) == 3:
        layouts.append(True)
    for precision in precisions:
        for compiled in compiles:
            for layout in layouts:
                yield Setting(precision, compiled, layout)


def _steps(stepper: Stepper, window: int) -> Iterator[int]:
    """Train for ever, as the loop does; yields what each step learned from."""
    step = 0
    while True:
        yield stepper.step(0)
        step += 1
        if step % window == 0:
            stepper.window.clear()


def _timed(steps: Iterator[int], seconds: float, device: torch.device) -> tuple[float, float]:
    """Items or symbols a second, and steps a second, over a round."""
    amount = count = 0
    _wait(device)
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        amount += next(steps)
        count += 1
    _wait(device)
    taken = time.perf_counter() - began
    return amount / taken, count / taken


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _table(
    title: str, unit: str, config: Config, present: Setting, timings: dict[Setting, Timing]
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
