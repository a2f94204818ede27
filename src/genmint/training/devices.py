"""What a machine offers, and what `auto` becomes there: the same on all machines of a kind."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import sysconfig
from pathlib import Path

import torch

from genmint.errors import ConfigError
from genmint.models.family import Config

# Options of glibc's mallopt: what is given back from the end of the heap, by how much it grows
# beyond what is asked for, and from which size on memory is mapped for itself (32 MiB at most).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_KEPT, _GROWTH, _MAPPED = 2**31 - 1, 2**26, 2**25

# A translation takes about a minute on a CPU, and saves a third of a step: below, it never pays.
_STEPS_WORTH_COMPILING = 20_000


def choose_device() -> torch.device:
    """The GPU of this process (of `LOCAL_RANK`, where there are several), else the CPU.

    Raises:
        ConfigError: there are GPUs, but not one for each process; in all of them alike, so that
            none waits for another.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    processes, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if processes > gpus:
        raise ConfigError(
            f"{processes} processes need a GPU each, and here are {gpus}: start fewer"
        )
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def share_cores() -> int:
    """Give this process its share of the cores, and return how many threads that is.

    `GENMINT_WORKERS` says how many trainings run at once on this machine, `LOCAL_WORLD_SIZE` how
    many processes this one has: threads beyond the cores make every one of them wait for all
    others. `OMP_NUM_THREADS` has the last word, except under torchrun, which sets it unasked.

    Raises:
        ConfigError: `GENMINT_WORKERS` is not a whole number from 1 on.
    """
    workers = os.environ.get("GENMINT_WORKERS", "1")
    if not workers.isdecimal() or int(workers) < 1:
        raise ConfigError(
            f"GENMINT_WORKERS={workers}: give the number of trainings that run at once, 1 or more"
        )
    if "OMP_NUM_THREADS" in os.environ and "TORCHELASTIC_RUN_ID" not in os.environ:
        return torch.get_num_threads()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    sharing = int(workers) * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    threads = max(1, (cores or 1) // sharing)
    torch.set_num_threads(threads)
    return threads


def keep_memory() -> None:
    """Let this process keep the memory that it frees, where its C library is glibc.

    A step frees what the next one asks for again. Given back to the system in between, every page
    of it is cleared and mapped anew: up to a fifth of a step of an RNN.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        for option, value in (
            (_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, _GROWTH), (_MMAP_THRESHOLD, _MAPPED)
        ):  # fmt: skip
            library.mallopt(option, value)


def resolve_precision(config: Config, device: torch.device) -> str:
    """What `precision` means for this model on this device: fp32, bf16 or fp16.

    `auto` is bf16 where the device multiplies bfloat16 in hardware, for what then trains twice as
    fast and as well (benchmarks/quality.md): an RNN, whose steps are large matrix products, and
    convolutions with `channels_last`. All else keeps fp32.

    Raises:
        ConfigError: this processor has no LSTM of the precision that was asked for.
    """
    if config.precision != "auto":
        if not can_compute(config, config.precision, device):
            raise ConfigError(
                f"precision: {config.precision}: this processor has no LSTM in it. Use auto or fp32"
            )
        return config.precision
    pays = config.family == "rnn" or (config.channels_last and config.network != "mlp")
    return "bf16" if pays and multiplies_bf16(device) else "fp32"


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware: a CPU with AMX or AVX512-BF16.

    Elsewhere torch converts it to float32 and back, three times slower than float32 itself.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def can_compute(config: Config, precision: str, device: torch.device) -> bool:
    """Whether the device has kernels for a model in fp32, bf16 or fp16.

    An older CPU has no LSTM in 16 bits, and torch tells only when it is tried.
    """
    if device.type != "cpu" or config.family != "rnn" or config.cell != "lstm":
        return True
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    with torch.random.fork_rng(devices=[]), torch.autocast("cpu", dtype, enabled=dtype is not None):
        try:
            torch.nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
        except RuntimeError:
            return False
    return True


def resolve_compile(config: Config, device: torch.device) -> bool:
    """What `compile` means for this model on this device.

    `auto` is yes for a long training of a fully connected VAE, whose small layers and likelihood
    gain most, on a GPU or a CPU with AMX, where there is a compiler. On a CPU without AMX it
    gained nothing (benchmarks/results.md), convolutions and recurrent layers run in kernels
    that a translation does not touch: `genmint bench NAME` says what it would bring.

    Raises:
        ConfigError: it was asked for, and there is no compiler.
    """
    if config.compile == "auto":
        small_layers = config.family == "vae" and config.network == "mlp"
        long = config.steps >= _STEPS_WORTH_COMPILING
        fast = device.type == "cuda" or torch.cpu._is_amx_tile_supported()
        return small_layers and long and fast and has_compiler(device)
    if config.compile and not has_compiler(device):
        raise ConfigError(
            f"compile: true needs {' or '.join(_compilers(device))} and the headers of Python "
            "(Debian: g++ and python3-dev): install them, or set compile: auto"
        )
    return config.compile


def has_compiler(device: torch.device) -> bool:
    """Whether there is what torch.compile calls behind a user's back."""
    found = any(shutil.which(name) is not None for name in _compilers(device))
    return found and (Path(sysconfig.get_path("include")) / "Python.h").exists()


def _compilers(device: torch.device) -> list[str]:
    """Any of these will do: for C++ on a CPU, for Triton's launchers, which are C, on a GPU."""
    if device.type == "cuda":
        return [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]
    return [os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")]
