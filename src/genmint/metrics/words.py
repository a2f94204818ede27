"""Word tokenisation, and the share of generated words that occur in the held-out text."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from genmint.data.views import tensors
from genmint.data.views.spec import DataSpec
from genmint.metrics.resampling import Rows, jackknife_stderr

Tokens = Sequence[str]

# Letters only: neither digits nor underscores, in any script.
_WORD = re.compile(r"[^\W\d_]+")
_LAST = re.compile(r"[^\W\d_]+\Z")
_SHORTEST = 3
# Tokens of n-grams: every word or number, and each single punctuation mark.
_TOKEN = re.compile(r"\w+|[^\w\s]")
_CUT_OFF = re.compile(r"\w+\Z")


def words(text: str) -> list[str]:
    """Words of three letters or more, in lower case."""
    return [w.casefold() for w in _WORD.findall(text) if len(w) >= _SHORTEST]


def tokens(text: str) -> list[str]:
    """Words, numbers and punctuation marks in order, without a word that touches the text's end.

    The last word may be truncated. Upper case is kept, since it marks the beginning of a sentence.
    """
    return _TOKEN.findall(_CUT_OFF.sub("", text))


def words_in_held_out(samples: Sequence[str], held_out: str) -> tuple[float, float]:
    """Share of generated words of three letters or more that occur in the held-out text.

    A sample ends at a fixed length, so a word that touches its end may be truncated and is ignored.

    Args:
        samples: generated texts.
        held_out: text of the test split.

    Returns:
        0…1, and its standard error (jackknife over samples); 0 if no word was generated.
    """
    known = set(words(held_out))
    sample_words = [words(_LAST.sub("", sample)) for sample in samples]
    right = np.array([sum(w in known for w in sample) for sample in sample_words])
    all_ = np.array([len(sample) for sample in sample_words])

    def share(rows: Rows) -> float:
        return float(right[rows].sum()) / max(1.0, float(all_[rows].sum()))

    return share(np.arange(len(sample_words))), jackknife_stderr(share, len(sample_words))


def as_text(stream: npt.NDArray[np.int64], spec: DataSpec) -> str:
    """Decode a stream of symbols, int64 T, as one string; `spec` describes its data."""
    shown = tensors.from_symbols(torch.from_numpy(stream)[None], spec)
    assert isinstance(shown, list)
    return str(shown[0])
