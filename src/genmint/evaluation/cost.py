"""Cost of a model: size, time and memory. It is measured again each time and never compared."""

from __future__ import annotations

import resource
import statistics
import sys
import time

from genmint.config import Protocol
from genmint.models.shared.family import Family

_RUNS = 5
_SECONDS = 1.0


def model_cost(
    model: Family, weight_bytes: int, protocol: Protocol, seconds: float
) -> dict[str, float]:
    """Measure the cost of a model that has just been sampled.

    Args:
        model: the model, on its device.
        weight_bytes: size of its weight file in bytes.
        protocol: number and length of the samples.
        seconds: time that drawing these samples took.

    Returns:
        parameters, megabytes (10⁶ bytes), sample_milliseconds (median of up to 5 draws of a single
        sample, one second in all), samples_per_second, peak_memory_megabytes (of this process).
    """
    return {
        "parameters": float(sum(value.numel() for value in model.parameters())),
        "megabytes": weight_bytes / 1e6,
        "sample_milliseconds": _latency(model, protocol) * 1e3,
        "samples_per_second": protocol.samples / max(seconds, 1e-9),
        "peak_memory_megabytes": peak_memory(),
    }


def peak_memory() -> float:
    """Return the peak resident memory of this process, in units of 10⁶ bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # ru_maxrss is in KiB on Linux and in bytes on macOS.
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _latency(model: Family, protocol: Protocol) -> float:
    length = protocol.text_length if model.spec.kind == "text" else None
    taken: list[float] = []
    while len(taken) < _RUNS and sum(taken) < _SECONDS:
        began = time.perf_counter()
        model.sample(1, seed=protocol.seed, length=length)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
