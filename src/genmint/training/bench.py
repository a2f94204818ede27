"""Benchmark of training settings for a model on this machine, with its own data."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import torch
from rich.table import Table

from genmint.common.console import table_console
from genmint.common.project import Project
from genmint.config import ModelConfig, Params
from genmint.data.prepared import Prepared
from genmint.data.views import tensors
from genmint.training.devices import choose_device, has_compiler, keep_memory, share_cores
from genmint.training.fastest import choose, recorded
from genmint.training.hardware import describe_device, unused_gpu
from genmint.training.options import SpeedOptions, possible
from genmint.training.speed import MARGIN, Timer, Timing, measure
from genmint.training.speed_records import record_file, speed_folder


def bench(
    project: Project, params: Params, name: str, seconds: float, *, record: bool = False
) -> list[dict[str, Any]]:
    """Time the possible settings of models.NAME, and recommend one.

    Args:
        project: project with the prepared data.
        params: settings of the project.
        name: name of the model entry.
        seconds: total training time per setting, without its start.
        record: let `auto` follow these timings in training runs to come.

    Returns:
        One object per setting: its options, whether a training run has them now (`present`), and
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
    file = record_file(speed_folder(project), config, spec, device, 1)
    present = choose(config, spec, device, None if record else file.read())
    if config.compilable and not has_compiler(device):
        print("without a compiler (g++), compile is not tried", file=sys.stderr)  # noqa: T201
    settings = [present, *(s for s in possible(config, spec, device) if s != present)]
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
    if record:
        replaced = recorded(file, timings)
        file.write(replaced)
        chosen = choose(config, spec, device, replaced)
        print(f"recorded in {file.path}: a training run takes {chosen}")  # noqa: T201
    return [
        {**asdict(setting), "present": setting == present, **asdict(timing)}
        for setting, timing in timings.items()
    ]


def advice(
    name: str, config: ModelConfig, present: SpeedOptions, timings: dict[SpeedOptions, Timing]
) -> str:
    """What to set, in a line or two; counts the start of every setting over all of its steps."""

    def total(setting: SpeedOptions) -> float:
        timing = timings[setting]
        return timing.start + config.steps / timing.steps

    fastest = min(timings, key=total)
    if total(present) / total(fastest) < MARGIN:
        return f"models.{name}: nothing to gain here; leave it as it is."
    text = (
        f"models.{name}: set {fastest}: {config.steps} steps in about {total(fastest):.0f} s "
        f"instead of {total(present):.0f} s here."
    )
    if fastest.precision != present.precision:
        text += f" {fastest.precision} changes the weights: compare the metrics before you keep it."
    return text


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
