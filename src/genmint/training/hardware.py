"""Description of the training device, and detection of an unused GPU."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch

# Root of the driver's files; tests replace it.
ROOT = Path("/")


def describe_device(device: torch.device) -> str:
    """Return device, torch build and, on a CPU, the number of threads as text."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device}), torch {torch.__version__}"
    return f"the CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"


def unused_gpu() -> str | None:
    """Return why torch cannot use this machine's NVIDIA GPU, with the remedy.

    A CPU build of torch cannot detect GPUs, so the driver's files and tools are checked. None if
    there is no GPU, torch uses it, or `CUDA_VISIBLE_DEVICES` hides it.
    """
    if torch.cuda.is_available() or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return None
    traces = _traces()
    if not traces:
        return None
    message = f"this machine has an NVIDIA GPU ({traces[0]}), and torch {torch.__version__}"
    if torch.version.cuda is None:
        return (
            f"{message} is a build without CUDA: remove .venv and run `make setup` without "
            "TORCH=cpu, or set CUDA_VISIBLE_DEVICES=-1 to train on the CPU on purpose"
        )
    return (
        f"{message} (CUDA {torch.version.cuda}) cannot use it: see whether `nvidia-smi` works and "
        "whether the driver is new enough, or set CUDA_VISIBLE_DEVICES=-1 to train on the CPU on "
        "purpose"
    )


def _traces() -> list[str]:
    """Return evidence of an NVIDIA GPU: device files, the driver's folder, its tool."""
    nodes = sorted(str(path) for path in (ROOT / "dev").glob("nvidia[0-9]*"))
    if (ROOT / "proc" / "driver" / "nvidia" / "version").exists():
        nodes.append(str(ROOT / "proc" / "driver" / "nvidia"))
    tool = shutil.which("nvidia-smi")
    return [*nodes, tool] if tool else nodes
