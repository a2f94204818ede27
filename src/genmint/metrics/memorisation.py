"""Do pictures replay the training data? Held-out items say how near is normal.

All distances are Euclidean and in pixels. On digits and on spectrograms of notes a replay with
noise on it is told there as well as in the features of the extractor, honest models and held-out
items score alike, an exact copy is at exactly 0, and nothing hangs on a network that has seen the
training items itself. A copy that was moved or turned is as far in pixels as any other item: that
is the price.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genmint.errors import DataError
from genmint.metrics.likelihood import mean_and_stderr

Floats = npt.NDArray[np.float64]

_NEIGHBOURS = 50
_QUANTILE = 0.01
# A sample within half the distance from a training item to the next one has no other training item
# nearer to it than that (triangle inequality), and is a near duplicate of it.
_NEAR = 0.5
# That many held-out items say what is normal as well as all of a large set do, and that many
# samples what a model does.
_ENOUGH = 2000
# Rows of distances at a time (256 × 60,000 take 60 MB), and numbers in the differences of a row to
# its neighbours (80 MB).
_ROWS = 256
_CELLS = 10_000_000
# Numbers of training items in float32 at a time (256 MB): all of 80,000 digits of 28×28.
_NUMBERS = 64_000_000


@dataclass(frozen=True)
class Nearest:
    """Where the training data are nearest, for each of N items.

    Attributes:
        distances: to the 50 nearest training items (or all, where there are fewer), ascending;
            float64 N×50.
        index: number of the nearest, int64 N.
    """

    distances: Floats
    index: npt.NDArray[np.int64]

    def closeness(self) -> Floats:
        """Distance to the nearest over the mean to the 50 nearest, 0…1; 0 is a copy."""
        mean = self.distances.mean(axis=1)
        closest = self.distances[:, 0]
        ratio: Floats = np.divide(closest, mean, out=np.zeros_like(mean), where=mean > 0)
        return ratio


def grid_memorisation(
    samples: Tensor,
    train: Tensor,
    held_out: Tensor,
    *,
    seed: int,
    groups: npt.NDArray[np.int64] | None = None,
) -> dict[str, float]:
    """Four answers to one question, from distances to the nearest training items.

    - `copied`: share of samples with a closeness below that of 99 % of held-out items. Closeness is
      the distance to the nearest training item over the mean distance to the 50 nearest (Carlini
      et al. 2023, "Extracting training data from diffusion models", section 4): an average picture
      is close to many items, a copy to one. An exact copy counts always.
    - `copying_z`: the data-copying test of Meehan, Chaudhuri and Dasgupta (2020), see `copying_z`,
      of closeness in place of the bare distance. They compare within cells, lest a model that
      prefers dense regions pass for a copier; to divide by the distance of the neighbours does the
      same without a partition to choose.
    - `near_duplicates`: share of samples within half the distance from their nearest training item
      to the nearest other one, copies among them.
    - `authenticity`: share of samples further from their nearest training item than that is from
      the nearest other one (Alaa et al. 2022). About a half for held-out items.

    Training items that occur several times count once, and so do near-duplicates: of a group the
    member that is nearest counts, and "the next one" is of another group. Otherwise the items that
    a model memorises first, those that it sees most often, would look like nothing in particular.

    Args:
        samples: uint8 N×C×H×W; the first 2,000 of them are used.
        train: uint8 M×C×H×W.
        held_out: uint8 K×C×H×W; at most 2,000 of them, chosen by `seed`, are used.
        seed: see `held_out`.
        groups: group of near-duplicates of each training item, int64 M; None where there are none.

    Returns:
        The four by name and, of the shares, `NAME_stderr`.

    Raises:
        DataError: there are no samples, fewer than two training items or no held-out ones.
    """
    if len(samples) == 0 or len(train) < 2 or len(held_out) == 0:
        raise DataError(
            "memorisation needs a sample, two training items and a held-out one at least; "
            "use a larger set or other shares of the splits"
        )
    first = _distinct(train)
    known = train if len(first) == len(train) else train[torch.from_numpy(first)]
    groups = None if groups is None else groups[first]
    chosen = np.random.default_rng(seed).permutation(len(held_out))[:_ENOUGH]
    normal = nearest(held_out[torch.from_numpy(np.sort(chosen))], known, groups).closeness()
    found = nearest(samples[:_ENOUGH], known, groups)
    close, distance = found.closeness(), found.distances[:, 0]
    copy = distance == 0
    apart = _apart(found.index, known, groups)
    shares = {
        "copied": (close < np.quantile(normal, _QUANTILE)) | copy,
        "near_duplicates": (distance < _NEAR * apart) | copy,
        "authenticity": (distance > apart) & ~copy,
    }
    result = {"copying_z": copying_z(close, normal)}
    for name, values in shares.items():
        result[name], result[f"{name}_stderr"] = mean_and_stderr(values.astype(np.float64))
    return result


def copying_z(samples: Floats, held_out: Floats) -> float:
    """z-score of the hypothesis that samples are as far from the training data as held-out items.

    The rank-sum test of Mann and Whitney (1947), U − NM/2 over its standard deviation, as Meehan,
    Chaudhuri and Dasgupta (2020) use it. Ties share their ranks, and the deviation allows for them.

    Args:
        samples: how far each sample is from the training data, float64 N.
        held_out: how far each held-out item is, float64 M.

    Returns:
        About N(0, 1) for held-out items; well below 0: samples are nearer, copies; well above:
        samples are further, a poor fit. Its size grows as √N: nothing but copies give
        −√(3NM / (N + M + 1)), a little beyond it with ties. 0 where all distances are equal.
    """
    n, m = len(samples), len(held_out)
    both = np.concatenate([samples, held_out])
    _, which, ties = np.unique(both, return_inverse=True, return_counts=True)
    # Equal distances share the mean of their ranks.
    ranks = np.cumsum(ties) - (ties - 1) / 2
    above = float(ranks[which[:n]].sum()) - n * (n + 1) / 2
    ties = ties.astype(np.float64)
    total = n + m
    spread = total + 1 - float((ties**3 - ties).sum()) / (total * (total - 1))
    if spread <= 0:
        return 0.0
    return (above - n * m / 2) / math.sqrt(n * m / 12 * spread)


def nearest(items: Tensor, train: Tensor, groups: npt.NDArray[np.int64] | None = None) -> Nearest:
    """Find the nearest training items of each item, one of each group of near-duplicates.

    Args:
        items: uint8 N×C×H×W, N at least 1.
        train: uint8 M×C×H×W, M at least 1.
        groups: of each training item, int64 M; None where every item is a group of its own.
    """
    alike = [] if groups is None else _several(groups)
    count = len(train) if groups is None else len(np.unique(groups))
    neighbours = min(_NEIGHBOURS, count)
    known = train.flatten(1)
    blocks = known.split(max(1, _NUMBERS // known.shape[1]))
    norms = torch.cat([block.to(torch.float32).square().sum(dim=1) for block in blocks])
    # Of many training items few rows at a time are compared exactly; all of a part share a block.
    rows = max(1, min(_ROWS, _CELLS // (neighbours * known.shape[1])))
    wide = min(_ROWS, max(1, _NUMBERS // known.shape[1])) if len(blocks) > 1 else rows
    distances, index = [], []
    for some in items.flatten(1).split(wide):
        part = some.to(torch.float32)
        products = torch.cat([part @ block.to(torch.float32).T for block in blocks], dim=1)
        squared = part.square().sum(dim=1, keepdim=True) + norms - 2 * products
        for members in alike:
            # All but the nearest member of a group are out of the question.
            within = squared[:, members]
            best = within.argmin(dim=1, keepdim=True)
            others = torch.ones_like(within, dtype=torch.bool).scatter_(1, best, False)
            squared[:, members] = within.masked_fill(others, math.inf)
        near = squared.topk(neighbours, dim=1, largest=False).indices
        # Differences of whole numbers are exact, unlike the sums above: a copy is at exactly 0.
        exact = torch.cat(
            [_distances(part[i : i + rows], known, near[i : i + rows])
             for i in range(0, len(part), rows)]
        )  # fmt: skip
        ascending, order = exact.sort(dim=1, stable=True)
        distances.append(ascending.numpy())
        index.append(near.gather(1, order[:, :1]).squeeze(1).numpy())
    return Nearest(np.concatenate(distances), np.concatenate(index))


def _distances(items: Tensor, known: Tensor, near: Tensor) -> Tensor:
    """Distance of each item, float32 N×D, to its K training items; float64 N×K."""
    columns = max(1, _CELLS // (len(items) * items.shape[1]))
    found = []
    for chosen in near.split(columns, dim=1):
        difference = items[:, None, :] - known[chosen].to(torch.float32)
        found.append(difference.double().square().sum(dim=2).sqrt())
    return torch.cat(found, dim=1)


def _apart(
    index: npt.NDArray[np.int64], train: Tensor, groups: npt.NDArray[np.int64] | None
) -> Floats:
    """Distance from each of these training items to the nearest of another group; 0 if none is."""
    hit, where = np.unique(index, return_inverse=True)
    found = nearest(train[torch.from_numpy(hit)], train, groups).distances
    if found.shape[1] == 1:
        return np.zeros(len(index))
    apart: Floats = found[:, 1]
    return apart[where]


def _several(groups: npt.NDArray[np.int64]) -> list[Tensor]:
    """Numbers of the members of each group that has several."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order][:1] - 1))
    return [torch.from_numpy(part) for part in np.split(order, starts[1:]) if len(part) > 1]


def _distinct(train: Tensor) -> npt.NDArray[np.int64]:
    """Numbers of the first of each of the different training items, ascending."""
    flat = train.flatten(1).numpy()
    seen: dict[bytes, int] = {}
    for number, row in enumerate(flat):
        seen.setdefault(hashlib.sha256(row.tobytes()).digest(), number)
    return np.array(list(seen.values()), dtype=np.int64)
