"""Test of new items against known ones in the feature space of the reference extractor."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from genmint.drift.columns import DriftTest
from genmint.metrics.frechet import frechet_distance

Features = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

# Number of draws from the null distribution: the minimum, and a multiple of the number that the
# smallest relevant p-value requires.
_DRAWS = 499
_FINER = 3
# More baseline items hardly improve its mean and covariance, but make draws slower.
_ENOUGH = 2000
# Features beyond this number are reduced to as many principal components: a distance in the
# thousand features of a named extractor would take a second for each draw.
_DIMENSIONS = 128


def frechet_drift(
    baseline: Features,
    window: Features,
    *,
    groups: tuple[Groups, Groups] | None = None,
    level: float,
    seed: int,
    name: str = "frechet",
) -> DriftTest:
    """Permutation test of the Fréchet distance between new and known items.

    The null distribution is the distance between random partitions of all items into two parts of
    the same sizes, that is, the sampling variation between real items. The p-value is exact for any
    feature distribution (Pitman 1937; Phipson and Smyth 2010 for the added 1). Neither the bias of
    the distance nor a small window therefore affects it.

    Args:
        baseline: features of items that the extractor was not trained on, float64 N×D. Features of
            its training items are distributed differently, even without drift.
        window: features of the new items, float64 M×D.
        groups: for the rows of both, the recording that they were cut from; rows of one recording
            stay together. None if each row is an item.
        level: smallest p-value that must be reachable, above 0.
        seed: seed of the draws.
        name: name of the finding.

    Raises:
        DataError: a side has fewer than two rows, or a value is not finite.
    """
    generator = np.random.default_rng(seed)
    if groups is None:
        groups = (np.arange(len(baseline)), np.arange(len(window)))
    baseline, of_baseline = _thinned(baseline, groups[0], generator)
    rows = _reduced(np.concatenate([baseline, window]))
    baseline, window = rows[: len(baseline)], rows[len(baseline) :]
    distance = frechet_distance(window, baseline)
    first = int(of_baseline.max()) + 1
    owner = np.concatenate([of_baseline, _dense(groups[1]) + first])
    taken = len(np.unique(groups[1]))
    draws = max(_DRAWS, math.ceil(_FINER / level))
    null = np.array([_draw(rows, owner, taken, generator) for _ in range(draws)])
    # The tolerance counts values as equal that differ only by rounding.
    p = (1 + int((null >= distance * (1 - 1e-12)).sum())) / (1 + draws)
    return DriftTest(
        name=name,
        method=f"real against real, {draws} draws",
        statistic=distance,
        p=p,
        before=f"median {np.median(null):.3g}, 99 % below {np.quantile(null, 0.99):.3g}",
        now=f"{distance:.3g}",
    )


def _reduced(rows: Features) -> Features:
    """Return the first principal components of many features, of all rows together.

    The components do not depend on which rows are new, so the test stays exact.
    """
    if rows.shape[1] <= _DIMENSIONS:
        return rows
    centred = rows - rows.mean(axis=0)
    vectors = np.linalg.svd(centred, full_matrices=False)[2][:_DIMENSIONS]
    reduced: Features = centred @ vectors.T
    return reduced


def _draw(rows: Features, owner: Groups, taken: int, generator: np.random.Generator) -> float:
    """Return the distance between a random part of `taken` groups and the rest."""
    groups = int(owner.max()) + 1
    chosen = np.zeros(groups, dtype=bool)
    chosen[generator.choice(groups, taken, replace=False)] = True
    inside = chosen[owner]
    return frechet_distance(rows[inside], rows[~inside])


def _thinned(
    features: Features, groups: Groups, generator: np.random.Generator
) -> tuple[Features, Groups]:
    """Return at most _ENOUGH random rows in complete groups (at least one), numbered from 0."""
    dense = _dense(groups)
    if len(features) <= _ENOUGH:
        return features, dense
    kept = np.zeros(int(dense.max()) + 1, dtype=bool)
    sizes = np.bincount(dense)
    order = generator.permutation(len(sizes))
    kept[order[: max(1, int(np.searchsorted(np.cumsum(sizes[order]), _ENOUGH)))]] = True
    inside = kept[dense]
    return features[inside], _dense(dense[inside])


def _dense(groups: Groups) -> Groups:
    numbers: Groups = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    return numbers
