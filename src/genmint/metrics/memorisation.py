"""Memorisation metrics of images, from distances to the training items, against held-out items.

All distances are Euclidean, in pixel space. On digits and on spectrograms of notes, pixel
distances detect noisy copies as well as distances between features of the extractor do. Samples
of models that do not copy and held-out items get equal scores. An exact copy is at distance
exactly 0, and no network that has seen the training items is involved. The limitation: a shifted
or rotated copy is as distant in pixels as any other item, and is not detected.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genmint.common.array_types import Floats
from genmint.common.errors import DataError
from genmint.metrics.likelihood import mean_and_stderr

_NEIGHBOURS = 50
_QUANTILE = 0.01
# A sample is a near-duplicate of a training item within half the distance between that item and
# its nearest neighbour. By the triangle inequality no other training item is then nearer.
_NEAR = 0.5
# Maximum number of held-out items and of samples; more of them hardly improve the estimates.
_ENOUGH = 2000
# Rows of distances computed at a time (256 × 60,000 take 60 MB), and numbers in the differences
# between rows and their neighbours (80 MB).
_ROWS = 256
_CELLS = 10_000_000
# float32 values of training items held at a time (256 MB): 80,000 digits of 28×28 fit.
_NUMBERS = 64_000_000


@dataclass(frozen=True)
class Nearest:
    """Nearest training items of each of N items.

    Attributes:
        distances: to the 50 nearest training items (or all, if there are fewer), ascending;
            float64 N×50.
        index: number of the nearest training item, int64 N.
    """

    distances: Floats
    index: npt.NDArray[np.int64]

    def closeness(self) -> Floats:
        """Distance to the nearest item divided by the mean to the 50 nearest, 0…1; 0 is a copy."""
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
    """Four memorisation metrics, from the distances to the nearest training items.

    - `copied`: share of samples with a closeness below that of 99 % of held-out items. Closeness is
      the distance to the nearest training item divided by the mean distance to the 50 nearest
      (Carlini et al. 2023, "Extracting training data from diffusion models", section 4). An average
      image is close to many items, a copy to one. An exact copy always counts.
    - `copying_z`: the data-copying test of Meehan, Chaudhuri and Dasgupta (2020), see `copying_z`,
      applied to closeness instead of the distance. They compare within cells, so that a model that
      prefers dense regions does not count as copying. Dividing by the mean distance of the
      neighbours has the same effect and needs no partition.
    - `near_duplicates`: share of samples whose distance to their nearest training item is below
      half the distance from that item to the nearest other one. Copies are included.
    - `authenticity`: share of samples that are further from their nearest training item than that
      item is from the nearest other one (Alaa et al. 2022). For held-out items 1/3 on a line, since
      two neighbours are mutually nearest with probability 2/3 there, and more in higher dimensions.

    Training items that occur several times count once. Of a group of near-duplicates only the
    nearest member counts, and "the nearest other one" belongs to another group. Otherwise copies of
    frequent training items, which a model memorises first, would not be detected.

    Args:
        samples: uint8 N×C×H×W; the first 2,000 of them are used.
        train: uint8 M×C×H×W.
        held_out: uint8 K×C×H×W; at most 2,000 of them, chosen by `seed`, are used.
        seed: see `held_out`.
        groups: near-duplicate group of each training item, int64 M; None if there are no groups.

    Returns:
        The four metrics by name, and `NAME_stderr` of each share.

    Raises:
        DataError: there are no samples, fewer than two training items or no held-out items.
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
    neighbours = nearest(samples[:_ENOUGH], known, groups)
    close, distance = neighbours.closeness(), neighbours.distances[:, 0]
    copy = distance == 0
    apart = _apart(neighbours.index, known, groups)
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
    """z-score of the test that samples are as far from the training data as held-out items are.

    Rank-sum test of Mann and Whitney (1947), U − NM/2 divided by its standard deviation, as used by
    Meehan, Chaudhuri and Dasgupta (2020). Ties get their mean rank, and the standard deviation is
    corrected for ties.

    Args:
        samples: distance of each sample to the training data, float64 N.
        held_out: distance of each held-out item, float64 M.

    Returns:
        About N(0, 1) for held-out items. Values well below 0: samples are nearer, as copies are.
        Values well above 0: samples are further away, a poor fit. The magnitude grows as √N. If all
        samples are copies it is −√(3NM / (N + M + 1)), and slightly larger with ties. 0 if all
        distances are equal.
    """
    # A function-level import, since scipy.stats takes half a second to import.
    from scipy.stats import rankdata, tiecorrect

    n, m = len(samples), len(held_out)
    ranks = rankdata(np.concatenate([samples, held_out]))
    correction = float(tiecorrect(ranks))
    if correction == 0:
        return 0.0
    above = float(ranks[:n].sum()) - n * (n + 1) / 2
    return (above - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12 * correction)


def nearest(items: Tensor, train: Tensor, groups: npt.NDArray[np.int64] | None = None) -> Nearest:
    """Nearest training items of each item, at most one from each group of near-duplicates.

    Args:
        items: uint8 N×C×H×W, N at least 1.
        train: uint8 M×C×H×W, M at least 1.
        groups: group of each training item, int64 M; None if each item is its own group.
    """
    alike = [] if groups is None else _several(groups)
    count = len(train) if groups is None else len(np.unique(groups))
    neighbours = min(_NEIGHBOURS, count)
    known = train.flatten(1)
    blocks = known.split(max(1, _NUMBERS // known.shape[1]))
    norms = torch.cat([block.to(torch.float32).square().sum(dim=1) for block in blocks])
    # The exact comparison takes few rows at a time if items are large. With several blocks of
    # training items the matrix products take more rows, so that blocks are converted less often.
    rows = max(1, min(_ROWS, _CELLS // (neighbours * known.shape[1])))
    wide = min(_ROWS, max(1, _NUMBERS // known.shape[1])) if len(blocks) > 1 else rows
    distances, index = [], []
    for some in items.flatten(1).split(wide):
        part = some.to(torch.float32)
        products = torch.cat([part @ block.to(torch.float32).T for block in blocks], dim=1)
        squared = part.square().sum(dim=1, keepdim=True) + norms - 2 * products
        for members in alike:
            # Only the nearest member of a group remains a candidate.
            within = squared[:, members]
            best = within.argmin(dim=1, keepdim=True)
            others = torch.ones_like(within, dtype=torch.bool).scatter_(1, best, False)
            squared[:, members] = within.masked_fill(others, math.inf)
        near = squared.topk(neighbours, dim=1, largest=False).indices
        # Differences of integers are exact, unlike the sums above. A copy is therefore at exactly
        # 0.
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
    distances = []
    for chosen in near.split(columns, dim=1):
        difference = items[:, None, :] - known[chosen].to(torch.float32)
        distances.append(difference.double().square().sum(dim=2).sqrt())
    return torch.cat(distances, dim=1)


def _apart(
    index: npt.NDArray[np.int64], train: Tensor, groups: npt.NDArray[np.int64] | None
) -> Floats:
    """Distance of each given training item to the nearest of another group; 0 if there is none."""
    hit, where = np.unique(index, return_inverse=True)
    distances = nearest(train[torch.from_numpy(hit)], train, groups).distances
    if distances.shape[1] == 1:
        return np.zeros(len(index))
    apart: Floats = distances[:, 1]
    return apart[where]


def _several(groups: npt.NDArray[np.int64]) -> list[Tensor]:
    """Item numbers of each group with more than one member."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order][:1] - 1))
    return [torch.from_numpy(part) for part in np.split(order, starts[1:]) if len(part) > 1]


def _distinct(train: Tensor) -> npt.NDArray[np.int64]:
    """Number of the first occurrence of each distinct training item, ascending."""
    flat = train.flatten(1).numpy()
    seen: dict[bytes, int] = {}
    for number, row in enumerate(flat):
        seen.setdefault(hashlib.sha256(row.tobytes()).digest(), number)
    return np.array(list(seen.values()), dtype=np.int64)
