"""On what a model trains, and whether a GPU of this machine is left unused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch

# Where the files of a driver lie: tests look elsewhere.
ROOT = Path("/")


def describe(device: torch.device) -> str:
    """The device, the build of torch and, on a CPU, the threads, for people."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device}), torch {torch.__version__}"
    return f"the CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"


def unused_gpu() -> str | None:
    """Why torch cannot use the NVIDIA GPU of this machine, with the way out.

    Nothing of torch is asked whether there is a GPU, since a CPU build knows of none: the driver's
    files and tools say it. None if there is no GPU, torch uses it, or `CUDA_VISIBLE_DEVICES` hides
    it.
    """
    if torch.cuda.is_available() or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return None
    traces = _traces()
    if not traces:
        return None
    found = f"this machine has an NVIDIA GPU ({traces[0]}), and torch {torch.__version__}"
    if torch.version.cuda is None:
        return (
            f"{found} is a build without CUDA: remove .venv and run `make setup` without "
            "TORCH=cpu, or set CUDA_VISIBLE_DEVICES=-1 to train on the CPU on purpose"
        )
    return (
        f"{found} (CUDA {torch.version.cuda}) cannot use it: see whether `nvidia-smi` works and "
        "whether the driver is new enough, or set CUDA_VISIBLE_DEVICES=-1 to train on the CPU on "
        "purpose"
    )


def _traces() -> list[str]:
    """What shows that there is an NVIDIA GPU: device files, the driver's folder, its tool."""
    found = sorted(str(path) for path in (ROOT / "dev").glob("nvidia[0-9]*"))
    if (ROOT / "proc" / "driver" / "nvidia" / "version").exists():
        found.append(str(ROOT / "proc" / "driver" / "nvidia"))
    tool = shutil.which("nvidia-smi")
    return [*found, tool] if tool else found
