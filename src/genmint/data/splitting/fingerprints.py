"""Fingerprints of training content, to find held-out items that a model was trained on.

A registered model may outlive its training data. It keeps a 64-bit fingerprint of each training
item, or of each 64 characters of text. Two different items collide with probability 2⁻⁶⁴.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Fingerprints = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

# Number of characters per fingerprint of a text.
WINDOW = 64

_BASE = np.uint64(0x9E3779B97F4A7C15)
# Number of characters processed at a time.
_PIECE = 1 << 20
# Consecutive windows that count as a copied passage; a single one may be a common phrase.
_WINDOWS_IN_A_ROW = 2


def of_items(items: npt.NDArray[Any]) -> Fingerprints:
    """Return the fingerprint of each item, uint64 N, from its bytes (BLAKE2b, RFC 7693)."""
    digests = b"".join(hashlib.blake2b(item.tobytes(), digest_size=8).digest() for item in items)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def of_text(pieces: Iterable[npt.NDArray[np.uint32]]) -> Fingerprints:
    """Return the fingerprints of a text, one per 64 characters from its beginning; uint64 N.

    Args:
        pieces: code points of the text, in order. An incomplete window at the end is left out.
    """
    prints = [np.zeros(0, dtype=np.uint64)]
    rest = np.zeros(0, dtype=np.uint32)
    for piece in pieces:
        codes = np.concatenate([rest, piece])
        whole = len(codes) // WINDOW * WINDOW
        rest = codes[whole:]
        prints.append(_hashed(codes[:whole].reshape(-1, WINDOW).T))
    return np.concatenate(prints)


def copied(codes: npt.NDArray[np.uint32], known: Fingerprints) -> Mask:
    """Return which characters of a text are in known passages; bool N.

    A passage of at least 191 characters that also occurs in a known text is always found. Up to 63
    characters on each side are marked as well.

    Args:
        codes: code points, N of them.
        known: fingerprints of the known text, sorted.
    """
    starts = [at + np.flatnonzero(hits) for at, hits in _windows(codes, known)]
    places = np.concatenate([*starts, np.zeros(0, dtype=np.int64)])
    result = np.zeros(len(codes), dtype=bool)
    runs = np.isin(places, places - WINDOW * (_WINDOWS_IN_A_ROW - 1))
    for start in places[runs].tolist():
        # Up to a window less one character on each side may be copied, too.
        result[max(0, start - WINDOW + 1) : start + (_WINDOWS_IN_A_ROW + 1) * WINDOW - 1] = True
    return result


def _windows(codes: npt.NDArray[np.uint32], known: Fingerprints) -> Iterator[tuple[int, Mask]]:
    """Yield in chunks whether the window starting at each character is known, with the position."""
    for at in range(0, len(codes) - WINDOW + 1, _PIECE):
        part = codes[at : at + _PIECE + WINDOW - 1]
        hashes = _hashed(np.lib.stride_tricks.sliding_window_view(part, WINDOW).T)
        yield at, contains(known, hashes)


def contains(known: Fingerprints, wanted: Fingerprints) -> Mask:
    """Return which of the `wanted` fingerprints are in the sorted `known`; bool N."""
    if len(known) == 0:
        return np.zeros(len(wanted), dtype=bool)
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    hits: Mask = known[places] == wanted
    return hits


def _hashed(windows: npt.NDArray[np.uint32]) -> Fingerprints:
    """Hash each column, uint32 W×N: polynomial modulo 2⁶⁴, mixed by SplitMix64's finaliser."""
    value = np.zeros(windows.shape[1], dtype=np.uint64)
    for row in windows:
        value = value * _BASE + row + np.uint64(1)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
