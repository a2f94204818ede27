"""Does a model replay its training data? Held-out items say how near is normal."""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genmint.errors import DataError

Floats = npt.NDArray[np.float64]

_NEIGHBOURS = 50
_QUANTILE = 0.01
# 99 % of as many held-out items say what is normal as well as all of a large set do.
_HELD_OUT = 2000
# Rows of distances at a time (256 × 60,000 take 60 MB), and numbers in the differences of a row to
# its neighbours (80 MB).
_ROWS = 256
_CELLS = 10_000_000
# A longer training text is looked at in part: its sorted suffixes would take gigabytes.
_LONGEST_TEXT = 4_000_000


def copied_grids(samples: Tensor, train: Tensor, held_out: Tensor, *, seed: int) -> float:
    """Share of samples that lie closer to a training item than 99 % of held-out items do.

    Closeness is the distance to the nearest training item over the mean distance to the 50 nearest
    (Carlini et al. 2023, "Extracting training data from diffusion models", section 4): an average
    picture is close to many items, a copy is close to one. Distances are Euclidean, in pixels.

    Args:
        samples: uint8 N×C×H×W.
        train: uint8 M×C×H×W.
        held_out: uint8 K×C×H×W; at most 2,000 of them, chosen by `seed`, are used.
        seed: see `held_out`.

    Returns:
        0…1. About 0.01 for data that the model was not trained on.

    Raises:
        DataError: there are fewer than two training items or no held-out ones.
    """
    if len(train) < 2 or len(held_out) == 0:
        raise DataError("memorisation needs two training items and a held-out one at least")
    chosen = np.random.default_rng(seed).permutation(len(held_out))[:_HELD_OUT]
    limit = np.quantile(closeness(held_out[torch.from_numpy(np.sort(chosen))], train), _QUANTILE)
    near = closeness(samples, train)
    # An exact copy counts even where held-out items are exact copies as well.
    return float(((near < limit) | (near == 0)).mean())


def closeness(items: Tensor, train: Tensor) -> Floats:
    """Distance to the nearest training item over the mean to the 50 nearest; 0 is a copy.

    Args:
        items: uint8 N×C×H×W.
        train: uint8 M×C×H×W, M at least 2.

    Returns:
        float64 N, 0…1.
    """
    neighbours = min(_NEIGHBOURS, len(train))
    known = train.flatten(1).to(torch.float32)
    norms = known.square().sum(dim=1)
    rows = max(1, min(_ROWS, _CELLS // (neighbours * known.shape[1])))
    result = []
    for part in items.flatten(1).to(torch.float32).split(rows):
        squared = part.square().sum(dim=1, keepdim=True) + norms - 2 * part @ known.T
        nearest = squared.topk(neighbours, dim=1, largest=False).indices
        # Differences of whole numbers are exact, unlike the sums above: a copy is at exactly 0.
        exact = (part[:, None, :] - known[nearest]).double().square().sum(dim=2).sqrt()
        mean = exact.mean(dim=1)
        ratio = torch.where(mean > 0, exact.min(dim=1).values / mean, torch.zeros_like(mean))
        result.append(ratio.numpy())
    return np.concatenate(result)


def copied_texts(
    samples: npt.NDArray[Any], train: npt.NDArray[Any], held_out: npt.NDArray[Any]
) -> tuple[float, int]:
    """Share of samples that copy a longer run of the training text than held-out text does.

    For every sample, and for pieces of the held-out text of the same length, the longest run of
    symbols that occurs in the training text is measured. A sample counts as copied when its run is
    longer than that of 99 % of the pieces.

    Args:
        samples: integers N×T.
        train: stream of integers; of one longer than 4,000,000 the beginning is looked at.
        held_out: stream of integers, T or more of them.

    Returns:
        The share, and the longest run of any sample in symbols.

    Raises:
        DataError: the held-out text is shorter than a sample.
    """
    length = samples.shape[1]
    pieces = len(held_out) // length
    if pieces == 0:
        raise DataError(
            f"the test split has {len(held_out)} characters, fewer than a sample of {length}; "
            "lower protocol.sample_length"
        )
    text = _Text(train[:_LONGEST_TEXT])
    chosen = np.linspace(0, pieces - 1, min(pieces, _HELD_OUT // 10)).astype(int)
    normal = [text.longest_run(held_out[i * length : (i + 1) * length]) for i in chosen]
    runs = [text.longest_run(sample) for sample in samples]
    limit = np.quantile(normal, 1 - _QUANTILE)
    return float(np.mean(np.array(runs) > limit)), max(runs)


class _Text:
    """A text with its suffixes in order (Manber and Myers 1993), for finding runs of it."""

    def __init__(self, stream: npt.NDArray[Any]) -> None:
        self.text = _as_string(stream)
        self.suffixes: list[int] = _sorted_suffixes(stream).tolist()

    def longest_run(self, sample: npt.NDArray[Any]) -> int:
        """Length of the longest run of `sample` that occurs in the text."""
        wanted = _as_string(sample)
        best = 0
        for start in range(len(wanted)):
            while start + best < len(wanted) and self._has(wanted[start : start + best + 1]):
                best += 1
        return best

    def _has(self, run: str) -> bool:
        n = len(run)
        at = bisect.bisect_left(self.suffixes, run, key=lambda i: self.text[i : i + n])
        return at < len(self.suffixes) and self.text.startswith(run, self.suffixes[at])


def _as_string(stream: npt.NDArray[Any]) -> str:
    # One character a symbol, from a range without surrogates for every alphabet we meet.
    return (stream.astype(np.uint32) + 0x10000).astype("<u4").tobytes().decode("utf-32-le")


def _sorted_suffixes(stream: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Starts of the suffixes in lexicographic order, by prefix doubling."""
    n = len(stream)
    rank = np.unique(stream, return_inverse=True)[1].astype(np.int64)
    width = 1
    while True:
        after = np.zeros(n, dtype=np.int64)
        after[: n - width] = rank[width:] + 1
        key = rank * (n + 1) + after
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        fresh = np.concatenate([[0], np.cumsum(ordered[1:] != ordered[:-1])])
        rank = np.empty(n, dtype=np.int64)
        rank[order] = fresh
        width *= 2
        if fresh[-1] == n - 1 or width >= n:
            return order
