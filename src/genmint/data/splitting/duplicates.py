"""Detection of copies and near-duplicates, so that they are not in different splits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from genmint.config.base import Kind
from genmint.data.splitting.sketches import LUMINANCE, MINHASHES, Sketches

if TYPE_CHECKING:
    import pandas as pd

Numbers = npt.NDArray[np.int64]

# Similarity from which two items count as near-duplicates: correlation of thumbnails and of
# spectrograms, fraction of common shingles. docs/data.md has the measurements behind these values.
SIMILARITY: dict[Kind, float] = {"image": 0.995, "audio": 0.999, "text": 0.8}
# Precedence among copies: a digit that is also in the official test set must leave the training
# set, not the other way round.
SPLIT_ORDER = {"test": 0, "confirmation": 1, "validation": 2, "train": 3}

# Candidates are neighbours in these many orderings of the set. The cost is O(N log N) for any
# content, even N copies of one item.
_ORDERS, _NEIGHBOURS, _BITS = 16, 4, 64
_BANDS, _SAME_BAND = 32, 8
# Thumbnails with a smaller standard deviation (levels of 255) contain rounding noise only.
_LEAST_DEVIATION = 2.0
# Maximum difference of a cell's mean colour between near-duplicates, levels of 255.
_CHROMA_TOLERANCE = 12
_ROWS = 8192


@dataclass(frozen=True)
class NearDuplicates:
    """Groups of near-duplicates; an item without any forms a group of its own.

    Attributes:
        rows: group of each row of the manifest, identified by its first row; int64 N.
        clips: group of each item of the rows (audio: clips), likewise; int64 M.
        compared: number of rows with a sketch. For the others (low resolution, short texts, blank)
            only exact copies are found.
    """

    rows: Numbers
    clips: Numbers
    compared: int


def copies(table: pd.DataFrame) -> pd.Series[Any]:
    """Return for each row the id of the kept row with the same finished item, or None.

    The finished item is the model input. One image as PNG and BMP, one recording as wav and flac,
    and one text with different line ends are copies. The first by id is kept; a copy in the
    official test split takes precedence.
    """
    order = table["split"].map(SPLIT_ORDER).fillna(len(SPLIT_ORDER))
    ranked = table.assign(order=order).sort_values(["order", "id"], kind="stable")
    ranked = ranked[ranked["error"].isna()]
    kept = ranked.groupby("item", sort=False)["id"].transform("first")
    copies_of = kept[kept != ranked["id"]]
    return copies_of.reindex(table.index).astype(object).where(lambda ids: ids.notna(), None)


def find_near_duplicates(
    items: Sequence[str],
    sketches: Sequence[bytes | None],
    counts: Numbers,
    kind: Kind,
    similarity: float | None,
) -> NearDuplicates:
    """Group the rows of a manifest into near-duplicates, including exact copies.

    Args:
        items: hash of the finished item of each row, N of them.
        sketches: sketches of each row, one per item; None if there are none.
        counts: number of items per row, int64 N.
        kind: kind of data.
        similarity: threshold for near-duplicates; None for `SIMILARITY`; 1 finds exact copies only.
    """
    wanted = SIMILARITY[kind] if similarity is None else similarity
    owners = np.repeat(np.arange(len(items)), counts)
    has = np.array([sketch is not None for sketch in sketches], dtype=bool)
    compared = np.flatnonzero(np.repeat(has, counts))
    pairs = np.zeros((0, 2), dtype=np.int64)
    if wanted < 1 and len(compared) > 1:
        joined = b"".join(sketch for sketch in sketches if sketch is not None)
        array = np.frombuffer(joined, dtype=np.uint8).reshape(len(compared), -1)
        near = _similar_texts if kind == "text" else _similar_pictures
        pairs = compared[near(array, wanted)]
    first: dict[str, int] = {}
    same = [(first.setdefault(item, number), number) for number, item in enumerate(items)]
    edges = np.concatenate([owners[pairs], np.array(same, dtype=np.int64).reshape(-1, 2)])
    return NearDuplicates(
        rows=components(len(items), edges),
        clips=components(len(owners), pairs),
        compared=int(has.sum()) if wanted < 1 else 0,
    )


def components(count: int, pairs: Numbers) -> Numbers:
    """Return the connected components of a graph: for each of `count` nodes its smallest node.

    Args:
        count: number of nodes.
        pairs: undirected edges, int64 P×2.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), (count, count))
    labels = connected_components(edges, directed=False)[1]
    first = np.unique(labels, return_index=True)[1]
    component: Numbers = first[labels].astype(np.int64)
    return component


def representatives(table: pd.DataFrame, groups: Numbers) -> pd.Series[Any]:
    """Return for each row the id of its group's first item, or None for that item itself.

    The first is determined by id; an item of the official test split takes precedence. Unreadable
    rows have None.
    """
    order = table["split"].map(SPLIT_ORDER).fillna(len(SPLIT_ORDER))
    ranked = table.assign(order=order, group=groups)[table["error"].isna()]
    ranked = ranked.sort_values(["order", "id"], kind="stable")
    first = ranked.groupby("group", sort=False)["id"].transform("first")
    others = first[first != ranked["id"]]
    return others.reindex(table.index).astype(object).where(lambda ids: ids.notna(), None)


def redundant(groups: Numbers) -> int:
    """Return the number of rows beyond one per group."""
    return len(groups) - len(np.unique(groups))


def against_official(splits: Sequence[str | None], groups: Numbers) -> npt.NDArray[np.bool_]:
    """Return rows to leave out under official splits: near-duplicates of more held-out rows.

    An official test split is kept completely. Of a group in several official splits, the members in
    test are kept, otherwise those in confirmation, otherwise those in validation.

    Args:
        splits: official split of each row.
        groups: group of each row, as in `NearDuplicates`.
    """
    order = np.array([SPLIT_ORDER.get(split or "", len(SPLIT_ORDER)) for split in splits], int)
    best = np.full(int(groups.max(initial=-1)) + 1, len(SPLIT_ORDER))
    np.minimum.at(best, groups, order)
    out: npt.NDArray[np.bool_] = order > best[groups]
    return out


def _similar_pictures(sketches: Sketches, similarity: float) -> Numbers:
    """Return pairs of thumbnails or spectrograms with a correlation ≥ `similarity`; int64 P×2."""
    colour = sketches.shape[1] > LUMINANCE and sketches.shape[1] < 2 * LUMINANCE
    shades = sketches[:, :LUMINANCE] if colour else sketches
    varied = np.flatnonzero(shades.std(axis=1) >= _LEAST_DEVIATION)
    shades = shades[varied]
    pairs = _neighbours(_signs(shades), similarity)
    close = [_correlation(shades, part) >= similarity for part in _pieces(pairs)]
    pairs = varied[pairs[np.concatenate(close)]] if close else pairs
    if colour:
        chroma = sketches[:, LUMINANCE:].astype(np.int16)
        apart = np.abs(chroma[pairs[:, 0]] - chroma[pairs[:, 1]]).max(axis=1, initial=0)
        pairs = pairs[apart <= _CHROMA_TOLERANCE]
    return pairs


def _signs(shades: Sketches) -> npt.NDArray[np.uint64]:
    """Return the sides of 64 random hyperplanes for each sketch and ordering; uint64 orders×N.

    Charikar (2002), "Similarity estimation techniques from rounding algorithms": two sketches with
    the angle a between them differ in a fraction a/π of the bits. Hyperplanes contain as many −1 as
    +1, so that brightness has no effect. All sums are integers, hence equal on every machine.
    """
    width = shades.shape[1]
    balanced = np.resize(np.array([-1, 1], dtype=np.float32), width)
    generator = np.random.default_rng(0)
    signs = np.zeros((_ORDERS, len(shades)), dtype=np.uint64)
    for order in range(_ORDERS):
        planes = np.stack([generator.permutation(balanced) for _ in range(_BITS)], axis=1)
        for start in range(0, len(shades), _ROWS):
            rows = slice(start, start + _ROWS)
            bits = shades[rows].astype(np.float32) @ planes > 0
            signs[order, rows] = np.packbits(bits, axis=1).view(">u8").ravel()
    return signs


def _neighbours(signs: npt.NDArray[np.uint64], similarity: float) -> Numbers:
    """Return candidate pairs: neighbours in any ordering with few differing bits; int64 P×2."""
    share = math.acos(similarity) / math.pi
    # Four standard deviations above the expected number at the threshold.
    most = _BITS * share + 4 * math.sqrt(_BITS * share * (1 - share)) + 1
    pairs = []
    for keys in signs:
        order = np.argsort(keys, kind="stable")
        for step in range(1, _NEIGHBOURS + 1):
            one, other = order[:-step], order[step:]
            near = np.bitwise_count(keys[one] ^ keys[other]) <= most
            pairs.append((one[near], other[near]))
    return _distinct(pairs, signs.shape[1])


def _similar_texts(sketches: Sketches, similarity: float) -> Numbers:
    """Return pairs of texts that share at least a fraction `similarity` of shingles; int64 P×2."""
    hashes = np.ascontiguousarray(sketches).view("<u4")
    width = MINHASHES // _BANDS
    candidates = []
    for band in range(_BANDS):
        part = np.ascontiguousarray(hashes[:, band * width : (band + 1) * width])
        keys = np.unique(part, axis=0, return_inverse=True)[1].ravel()
        order = np.argsort(keys, kind="stable")
        for step in range(1, _SAME_BAND + 1):
            one, other = order[:-step], order[step:]
            near = keys[one] == keys[other]
            candidates.append((one[near], other[near]))
    pairs = _distinct(candidates, len(hashes))
    close = [(hashes[part[:, 0]] == hashes[part[:, 1]]).mean(axis=1) >= similarity
             for part in _pieces(pairs)]  # fmt: skip
    return pairs[np.concatenate(close)] if close else pairs


def _correlation(shades: Sketches, pairs: Numbers) -> npt.NDArray[np.float64]:
    """Return Pearson's correlation of each pair of sketches; the sums are exact."""
    one = shades[pairs[:, 0]].astype(np.float64)
    other = shades[pairs[:, 1]].astype(np.float64)
    n = shades.shape[1]
    both = n * (one * other).sum(axis=1) - one.sum(axis=1) * other.sum(axis=1)
    spreads = [n * (x * x).sum(axis=1) - x.sum(axis=1) ** 2 for x in (one, other)]
    correlation: npt.NDArray[np.float64] = both / np.sqrt(spreads[0] * spreads[1])
    return correlation


def _distinct(pairs: list[tuple[Numbers, Numbers]], count: int) -> Numbers:
    """Return distinct pairs, int64 P×2, with the smaller of the `count` numbers first."""
    joined = [np.minimum(one, other) * count + np.maximum(one, other) for one, other in pairs]
    distinct = np.unique(np.concatenate(joined)) if joined else np.zeros(0, np.int64)
    return np.stack(np.divmod(distinct, count), axis=1)


def _pieces(pairs: Numbers) -> list[Numbers]:
    return [pairs[start : start + _ROWS] for start in range(0, len(pairs), _ROWS)]
