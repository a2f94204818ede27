"""Whether new items lie where known ones do, in the feature space of the reference."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from genmint.drift.columns import Finding
from genmint.metrics.frechet import frechet_distance

Features = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

# Draws of the null distribution: at least, and as a multiple of what the smallest p-value that can
# matter takes.
_DRAWS = 499
_FINER = 3
# Items of the baseline beyond which its mean and covariance hardly gain, and draws take time.
_ENOUGH = 2000


def frechet_drift(
    baseline: Features,
    window: Features,
    *,
    groups: tuple[Groups, Groups] | None = None,
    level: float,
    seed: int,
    name: str = "frechet",
) -> Finding:
    """Test the Fréchet distance of new items to known ones against that of real to real.

    The null distribution is the distance itself, between random parts of all these items of the
    same two sizes: what real items are from real ones by sampling alone. The p-value is exact
    whatever the distribution of the features (Pitman 1937; Phipson and Smyth 2010 for the 1 that
    is added), so neither the bias of the distance nor the few items of a window matter.

    Args:
        baseline: features of items that the extractor did not learn from, float64 N×D. Those it
            learned from lie elsewhere than new ones even where nothing has changed.
        window: features of the new items, float64 M×D.
        groups: for each row of the two, which recording it was cut from; rows of one recording
            stay together. None if each row is an item.
        level: smallest p-value that must be reachable, above 0.
        seed: of the draws.
        name: of the finding.

    Raises:
        DataError: fewer than two rows on a side, or a value that is not finite.
    """
    generator = np.random.default_rng(seed)
    if groups is None:
        groups = (np.arange(len(baseline)), np.arange(len(window)))
    baseline, of_baseline = _thinned(baseline, groups[0], generator)
    found = frechet_distance(window, baseline)
    rows = np.concatenate([baseline, window])
    first = int(of_baseline.max()) + 1
    owner = np.concatenate([of_baseline, _dense(groups[1]) + first])
    taken = len(np.unique(groups[1]))
    draws = max(_DRAWS, math.ceil(_FINER / level))
    null = np.array([_draw(rows, owner, taken, generator) for _ in range(draws)])
    # Equal values may differ in the last bits, and count as no smaller.
    p = (1 + int((null >= found * (1 - 1e-12)).sum())) / (1 + draws)
    return Finding(
        name=name,
        method=f"real against real, {draws} draws",
        statistic=found,
        p=p,
        before=f"median {np.median(null):.3g}, 99 % below {np.quantile(null, 0.99):.3g}",
        now=f"{found:.3g}",
    )


def _draw(rows: Features, owner: Groups, taken: int, generator: np.random.Generator) -> float:
    """Distance between a random part, of so many groups, and the rest."""
    groups = int(owner.max()) + 1
    chosen = np.zeros(groups, dtype=bool)
    chosen[generator.choice(groups, taken, replace=False)] = True
    inside = chosen[owner]
    return frechet_distance(rows[inside], rows[~inside])


def _thinned(
    features: Features, groups: Groups, generator: np.random.Generator
) -> tuple[Features, Groups]:
    """At most _ENOUGH rows, whole groups, numbered from 0 on."""
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
