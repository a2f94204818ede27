"""Words of generated text that are words of the held-out text."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

from genmint.data import views
from genmint.data.spec import DataSpec

# Letters only: neither digits nor underscores, in any script.
_WORD = re.compile(r"[^\W\d_]+")
_LAST = re.compile(r"[^\W\d_]+\Z")
_SHORTEST = 3


def words(text: str) -> list[str]:
    """Runs of three letters or more, in lower case."""
    return [w.casefold() for w in _WORD.findall(text) if len(w) >= _SHORTEST]


def words_in_held_out(samples: Iterable[str], held_out: str) -> float:
    """Share of generated words of three letters or more that occur in the held-out text.

    A sample ends where its length was up, so the word that touches its end is left out.

    Args:
        samples: generated texts.
        held_out: text of the test split.

    Returns:
        0…1; 0 where no word was generated.
    """
    known = set(words(held_out))
    found = [w for sample in samples for w in words(_LAST.sub("", sample))]
    return sum(w in known for w in found) / len(found) if found else 0.0


def as_text(stream: npt.NDArray[np.int64], spec: DataSpec) -> str:
    """A stream of tokens, int64 T, as one string; `spec` is that of its data."""
    shown = views.from_symbols(torch.from_numpy(stream)[None], spec)
    assert isinstance(shown, list)
    return str(shown[0])
