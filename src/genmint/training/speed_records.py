"""Measured speeds of a network on a kind of machine, kept so that training runs repeat.

A record is a small JSON file in `.genmint/speed/` of the main repository. Its name is a hash of the
kind of machine (processor or GPU, instructions, threads, processes, torch) and of the settings that
a training step depends on. Delete the file to measure again.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from genmint.common.files import read_json, sha256_json, write_json
from genmint.common.project import Project
from genmint.config import ModelConfig
from genmint.config.base import Frozen, from_json
from genmint.config.models import Optimiser
from genmint.data.views.spec import DataSpec
from genmint.training.devices import multiplies_bf16
from genmint.training.options import SpeedOptions

# Root of /proc; tests replace it.
ROOT = Path("/")

# Keys of all families that do not change what a training step computes, only how often it is
# repeated, on what data, and in which format.
_SAME_STEP = frozenset(
    {"dataset", "seed", "seeds", "steps", "validate_every", "patience", "recovery", "precision",
     "compile", "channels_last", "ema", "ema_schedule"}
)  # fmt: skip

_Positive = Annotated[float, Field(gt=0)]


class Timed(Frozen):
    """Measured speed of a setting.

    Attributes:
        precision: fp32, bf16 or fp16.
        compile: whether torch.compile is used.
        channels_last: whether images are stored with channels innermost.
        steps_per_second: median over the rounds.
        start: seconds before the first step, mostly compilation.
    """

    precision: Literal["fp32", "bf16", "fp16"]
    compile: bool
    channels_last: bool
    steps_per_second: _Positive
    start: Annotated[float, Field(ge=0)]

    @property
    def options(self) -> SpeedOptions:
        """The setting."""
        return SpeedOptions(self.precision, self.compile, self.channels_last)


class SpeedRecord(Frozen):
    """Contents of a record.

    Attributes:
        format: version of this layout.
        machine: the kind of machine, see `machine`.
        network: the settings that a training step depends on, see `step_settings`.
        step_seconds: seconds of a step of the plainest setting. Decides for which training runs a
            measurement is worthwhile; never measured again, so that the decision stays the same.
        timed: the measured settings.
    """

    format: Literal[1] = 1
    machine: dict[str, Any]
    network: dict[str, Any]
    step_seconds: _Positive
    timed: tuple[Timed, ...] = ()

    def of(self, options: SpeedOptions) -> Timed | None:
        """The measured speed of a setting; None if it was not measured."""
        return next((each for each in self.timed if each.options == options), None)


@dataclass(frozen=True)
class RecordFile:
    """The file of the record of a network on this kind of machine.

    Attributes:
        path: of the file; None: nothing is read or written.
        machine: see `SpeedRecord`.
        network: see `SpeedRecord`.
    """

    path: Path | None
    machine: dict[str, Any]
    network: dict[str, Any]

    def read(self) -> SpeedRecord | None:
        """Read the record; None if there is none.

        Raises:
            GenmintError: the file is damaged; the message says to delete it.
        """
        if self.path is None or not self.path.exists():
            return None
        way_out = "Delete it: the next training run measures again."
        return from_json(SpeedRecord, read_json(self.path, way_out), self.path, way_out)

    def write(self, record: SpeedRecord) -> None:
        """Write the record, atomically."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, record.model_dump(mode="json"))


def speed_folder(project: Project) -> Path:
    """Folder of the records: in the main repository, which all checkouts of a project share."""
    return Project(project.home).state / "speed"


def record_file(
    folder: Path | None, config: ModelConfig, spec: DataSpec, device: torch.device, processes: int
) -> RecordFile:
    """The file of the record of a model entry on this kind of machine.

    Args:
        folder: `.genmint/speed`; None: a record that is not kept.
        config: model entry.
        spec: description of its data.
        device: training device.
        processes: number of processes that share a batch.
    """
    kind, network = machine(device, processes), step_settings(config, spec)
    name = sha256_json({"machine": kind, "network": network})[:16]
    return RecordFile(None if folder is None else folder / f"{name}.json", kind, network)


def step_settings(config: ModelConfig, spec: DataSpec) -> dict[str, Any]:
    """The settings that the speed of a training step depends on, as JSON values.

    What a user varies to find the best model is left out: training runs that differ in nothing else
    then have the same precision.
    """
    fields = type(config).model_fields
    optimisers = {name for name in fields if isinstance(getattr(config, name), Optimiser)}
    left_out = {*_SAME_STEP, *config.same_step, *optimisers}
    data = {"view": spec.view, "shape": list(spec.shape), "symbols": spec.symbols}
    return {**config.model_dump(mode="json", exclude=left_out), "data": data}


def machine(device: torch.device, processes: int) -> dict[str, Any]:
    """The kind of machine: what the speed of a training step depends on besides the network."""
    on_gpu = device.type == "cuda"
    return {
        "processor": torch.cuda.get_device_name(device) if on_gpu else _processor(),
        "instructions": "" if on_gpu else torch.backends.cpu.get_cpu_capability(),
        "amx": not on_gpu and bool(torch.cpu._is_amx_tile_supported()),
        "multiplies_bf16": multiplies_bf16(device),
        # A limit on the instructions that oneDNN uses.
        "onednn": os.environ.get("ONEDNN_MAX_CPU_ISA", ""),
        "threads": torch.get_num_threads(),
        "processes": processes,
        "torch": torch.__version__,
    }


def _processor() -> str:
    """Model name of the processor; on systems without /proc, what Python knows of it."""
    path = ROOT / "proc" / "cpuinfo"
    names = re.findall(r"model name\s*: (.*)", path.read_text()) if path.exists() else []
    return names[0] if names else platform.processor() or platform.machine()
