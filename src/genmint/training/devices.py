"""Device selection, and what `auto` settings are by rule, equal on all machines of a kind.

`genmint.training.fastest` measures them for long training runs.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import sysconfig
from pathlib import Path

import torch

from genmint.common.cores import share, threads_setting
from genmint.common.errors import ConfigError
from genmint.config import ModelConfig

# Options of glibc's mallopt: threshold for returning memory at the end of the heap, extra growth of
# the heap, and the minimum size for a separate mapping (32 MiB at most).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_KEPT, _GROWTH, _MAPPED = 2**31 - 1, 2**26, 2**25

# Compilation takes about a minute on a CPU and saves a third of a step; fewer steps never repay it.
_STEPS_WORTH_COMPILING = 20_000


def choose_device() -> torch.device:
    """Return the GPU of this process (by `LOCAL_RANK`, if there are several), else the CPU.

    Raises:
        ConfigError: there are fewer GPUs than processes. All processes raise it, so that none waits
            for another.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    processes, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if processes > gpus:
        raise ConfigError(
            f"{processes} processes need a GPU each, and there are {gpus}: start fewer"
        )
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def share_cores() -> int:
    """Limit this process to its share of the cores; return the number of threads.

    `GENMINT_WORKERS` is the number of concurrent training runs on this machine, and
    `LOCAL_WORLD_SIZE` the number of processes of this one. More threads than cores make all of them
    wait for each other. `OMP_NUM_THREADS` takes precedence, except under torchrun, which sets it by
    default.

    Raises:
        ConfigError: `GENMINT_WORKERS` or `OMP_NUM_THREADS` is not an integer from 1 on.
    """
    threads = share(int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    if threads_setting() is not None and "TORCHELASTIC_RUN_ID" not in os.environ:
        return torch.get_num_threads()
    torch.set_num_threads(threads)
    return threads


def keep_memory() -> None:
    """Let this process keep freed memory instead of returning it to the system (glibc only).

    A step frees memory that the next step needs again. If it is returned to the system in between,
    every page is cleared and mapped anew: up to a fifth of a step of a recurrent network.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        for option, value in (
            (_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, _GROWTH), (_MMAP_THRESHOLD, _MAPPED)
        ):  # fmt: skip
            library.mallopt(option, value)


def resolve_precision(config: ModelConfig, device: torch.device) -> str:
    """What `precision` means by rule for this model on this device: fp32, bf16 or fp16.

    `auto` is bf16 where the device multiplies bfloat16 in hardware, for what then trains faster and
    as well (benchmarks/results/quality.md), see `ModelConfig.bf16_pays`. Convolutions need the
    channels innermost for it. All else keeps fp32.

    Raises:
        ConfigError: the processor does not support an LSTM in the requested precision.
    """
    if config.precision != "auto":
        if not can_compute(config, config.precision, device):
            raise ConfigError(
                f"precision: {config.precision}: this processor has no LSTM in that "
                "format. Use auto or fp32"
            )
        return config.precision
    suits = config.channels_last is not False or not config.convolves
    return "bf16" if config.bf16_pays and suits and multiplies_bf16(device) else "fp32"


def resolve_channels_last(config: ModelConfig, precision: str) -> bool:
    """What `channels_last` means by rule in a resolved precision; `auto` is True with bf16."""
    if config.channels_last == "auto":
        return config.convolves and precision == "bf16"
    return config.channels_last


def multiplies_bf16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 in hardware; a CPU needs AMX or AVX512-BF16.

    On other devices torch converts to float32 and back, which is three times slower than float32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def can_compute(config: ModelConfig, precision: str, device: torch.device) -> bool:
    """Whether the device has kernels for a model in fp32, bf16 or fp16.

    An older CPU does not support a 16-bit LSTM, and torch reports this only when it runs.
    """
    if device.type != "cpu" or not config.has_lstm:
        return True
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    with torch.random.fork_rng(devices=[]), torch.autocast("cpu", dtype, enabled=dtype is not None):
        try:
            torch.nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
        except RuntimeError:
            return False
    return True


def resolve_compile(config: ModelConfig, device: torch.device) -> bool:
    """What `compile` means by rule for a model on a device.

    `auto` is True for a long training run of what gains most (`ModelConfig.compiling_pays`). It
    also requires a compiler, and a GPU or a CPU with AMX. On a CPU without AMX there was no gain
    (benchmarks/results/peers.md). Convolutions and recurrent layers run in kernels that compilation
    does not affect. `genmint bench NAME` measures the gain.

    Raises:
        ConfigError: compilation was requested, but there is no compiler.
    """
    if config.compile == "auto":
        long = config.steps >= _STEPS_WORTH_COMPILING
        fast = device.type == "cuda" or torch.cpu._is_amx_tile_supported()
        return config.compiling_pays and long and fast and has_compiler(device)
    if config.compile and not has_compiler(device):
        raise ConfigError(
            f"compile: true needs {' or '.join(_compilers(device))} and the headers of Python "
            "(Debian: g++ and python3-dev): install them, or set compile: auto"
        )
    return config.compile


def has_compiler(device: torch.device) -> bool:
    """Return whether the C or C++ compiler and Python headers for torch.compile are installed."""
    is_installed = any(shutil.which(name) is not None for name in _compilers(device))
    return is_installed and (Path(sysconfig.get_path("include")) / "Python.h").exists()


def _compilers(device: torch.device) -> list[str]:
    """Return the usable compilers: C++ on a CPU; on a GPU C, for Triton's launchers."""
    if device.type == "cuda":
        return [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]
    return [os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")]
