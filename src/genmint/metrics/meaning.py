"""Metrics that have no meaning for a data set, each with the reason why it is left out."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from genmint.catalogue import frechet_infinite_name, frechet_name, kernel_name
from genmint.metrics.words import tokens, words

Reasons = dict[str, str]

BY_CLASS = ("confident", "classes", "class_imbalance", "class_kl", "label_accuracy")
_SEQUENCES = ("distinct_2", "distinct_3", "repetition", "novel_4grams")
BY_WORD = ("words_in_held_out", "distinct_1", *_SEQUENCES, "self_bleu", "word_distance")

# Scripts whose words stand beside each other without spaces, as ranges of code points.
_UNSPACED = {
    "Thai": ((0x0E00, 0x0E7F),),
    "Lao": ((0x0E80, 0x0EFF),),
    "Tibetan": ((0x0F00, 0x0FFF),),
    "Burmese": ((0x1000, 0x109F),),
    "Khmer": ((0x1780, 0x17FF),),
    "Japanese": ((0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)),
    "Chinese": ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),
}  # fmt: skip
# Beyond this share of the letters, what a word metric sees is mostly whole sentences.
_MOSTLY = 0.3
# No language with spaces has words as long as this in more than a small part of a text.
_LONG = 40
_RUN = re.compile(r"\w+")
# Quantile of the normal distribution: an answer by chance passes for knowledge once in a hundred.
_Z = 2.33


def by_feature(dataset: str) -> tuple[str, ...]:
    """Metrics in the features of a data set's extractor."""
    distances = (frechet_name(dataset), frechet_infinite_name(dataset), kernel_name(dataset))
    return (*distances, "precision", "recall", "density", "coverage")


def left_out(names: Iterable[str], reason: str) -> Reasons:
    """The same reason for each of these metrics."""
    return dict.fromkeys(names, reason)


def words_left_out(text: str) -> Reasons:
    """Word metrics that say nothing of a text: where words are not told apart, or there are none.

    Args:
        text: of the test split, which samples are compared with.
    """
    unspaced = _unspaced(text)
    if unspaced:
        return left_out(
            BY_WORD,
            f"{unspaced}, so words cannot be told apart by their spaces; character_distance and "
            "bits_per_character do not need words",
        )
    if not words(text):
        found = left_out(
            ("words_in_held_out", "word_distance"),
            "the test text has no word of three letters or more",
        )
        count = len(tokens(text))
        if count < 4:
            found |= left_out(
                (*_SEQUENCES, "self_bleu"), f"the test text has {count} words, and this needs 4"
            )
        return found
    return {}


def above_chance(said: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], items: int) -> bool:
    """Whether answers agree with the truth more often than answers that do not look at the item.

    The share of right answers must exceed the agreement that the frequencies of both give by chance
    (Cohen 1960; 1 for a constant answer to items of one class) by 2.33 standard errors.

    Args:
        said: answers, int64 N.
        truth: the right answers, int64 N.
        items: how many items were asked about; fewer than N where each was asked in several forms,
            whose answers depend on each other.
    """
    kinds = max(int(said.max()), int(truth.max())) + 1
    shares = [np.bincount(values, minlength=kinds) / len(values) for values in (said, truth)]
    chance = float(shares[0] @ shares[1])
    error = float(np.sqrt(chance * (1 - chance) / items))
    return float((said == truth).mean()) > chance + _Z * error


def _unspaced(text: str) -> str | None:
    """What shows that words are not separated by spaces; None if they are."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    kinds, counts = np.unique(codes, return_counts=True)
    shares = {}
    letters = sum(int(n) for code, n in zip(kinds, counts, strict=True) if _is_letter(int(code)))
    for script, ranges in _UNSPACED.items():
        inside = np.zeros(len(kinds), dtype=bool)
        for low, high in ranges:
            inside |= (kinds >= low) & (kinds <= high)
        shares[script] = float(counts[inside].sum()) / max(1, letters)
    if sum(shares.values()) > _MOSTLY:
        script, share = max(shares, key=lambda name: shares[name]), sum(shares.values())
        return f"{share:.0%} of the letters belong to a script without spaces ({script})"
    lengths = np.array([len(run) for run in _RUN.findall(text)])
    long = lengths[lengths >= _LONG].sum() / max(1, lengths.sum())
    if long > _MOSTLY:
        return f"{long:.0%} of the text stands in runs of {_LONG} letters or more without a space"
    return None


def _is_letter(code: int) -> bool:
    # Vowel signs of Thai, Khmer and others are marks to Unicode, and letters to their readers.
    character = chr(code)
    return character.isalpha() or any(
        low <= code <= high for ranges in _UNSPACED.values() for low, high in ranges
    )
