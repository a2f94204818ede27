"""Speed of training steps with different settings, timed in alternation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from genmint.config import ModelConfig
from genmint.data.views.spec import DataSpec
from genmint.models.shared import store
from genmint.training.options import SpeedOptions
from genmint.training.stepper import Stepper

# Settings are timed in alternating rounds, so that a slowdown of the machine affects all of them.
_ROUNDS = 5
_WARM_UP = 5
# Smaller ratios count as equally fast.
MARGIN = 1.05


@dataclass(frozen=True)
class Timer:
    """How long a setting is timed.

    Attributes:
        seconds: total training time per setting, without its start.
        clock: returns the time in seconds.
        rounds: number of rounds; each has one step at least.
        warm_up: number of steps before the rounds, after the first one.
    """

    seconds: float
    clock: Callable[[], float] = time.perf_counter
    rounds: int = _ROUNDS
    warm_up: int = _WARM_UP


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
    # As in a training run, see `genmint.training.loop.fit`.
    torch.set_flush_denormal(True)
    runs, clock = {}, timer.clock
    for setting in settings:
        tell(f"starting {setting}")
        began = clock()
        model = store.build(config, spec).to(device).train()
        stepper = Stepper(
            model,
            config,
            train,
            setting.precision,
            labels=labels,
            compiled=setting.compile,
            channels_last=setting.channels_last,
        )
        steps = _steps(stepper, config.validate_every)
        next(steps)
        _wait(device)
        start = clock() - began
        for _ in range(timer.warm_up):
            next(steps)
        runs[setting] = (steps, start)
    rates: dict[SpeedOptions, list[tuple[float, float]]] = {setting: [] for setting in settings}
    for number in range(timer.rounds):
        for setting, (steps, _) in runs.items():
            tell(f"round {number + 1} of {timer.rounds}: {setting}")
            rates[setting].append(_timed(steps, timer.seconds / timer.rounds, device, clock))
    return {
        setting: Timing(
            statistics.median(amount for amount, _ in times),
            runs[setting][1],
            statistics.median(steps for _, steps in times),
        )
        for setting, times in rates.items()
    }


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
    while count == 0 or clock() - began < seconds:
        amount += next(steps)
        count += 1
    _wait(device)
    taken = clock() - began
    return amount / taken, count / taken


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
