"""Which metrics do not apply to a data set, each with the reason why it is left out."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from genmint.evaluation.distance_names import distance_names, own_features
from genmint.metrics.words import tokens, words

Reasons = dict[str, str]

BY_CLASS = ("confident", "classes", "class_imbalance", "class_kl", "label_accuracy")
_SEQUENCES = ("distinct_2", "distinct_3", "repetition", "novel_4grams")
BY_WORD = ("words_in_held_out", "distinct_1", *_SEQUENCES, "self_bleu", "word_distance")

# Scripts that do not separate words by spaces, as ranges of code points.
_UNSPACED = {
    "Thai": ((0x0E00, 0x0E7F),),
    "Lao": ((0x0E80, 0x0EFF),),
    "Tibetan": ((0x0F00, 0x0FFF),),
    "Burmese": ((0x1000, 0x109F),),
    "Khmer": ((0x1780, 0x17FF),),
    "Japanese": ((0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)),
    "Chinese": ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),
}  # fmt: skip
# Word metrics do not apply if unspaced scripts or long runs make up more than this share of the
# letters: most "words" are then whole sentences.
_MOSTLY = 0.3
# Length in letters of a run without spaces that is rarely a single word in any spaced language.
_LONG = 40
_RUN = re.compile(r"\w+")
# 99 % quantile of the normal distribution: random answers pass the test in 1 % of all cases.
_Z = 2.33


def by_feature(dataset: str) -> tuple[str, ...]:
    """Return the metrics that use the feature extractor of a data set."""
    names = distance_names(own_features(dataset))
    distances = (names.frechet, names.infinite, names.kernel)
    return (*distances, "precision", "recall", "density", "coverage")


def same_reason(names: Iterable[str], reason: str) -> Reasons:
    """Map each of these metrics to the same reason."""
    return dict.fromkeys(names, reason)


def words_left_out(text: str) -> Reasons:
    """Return the word metrics that do not apply to a text, with the reasons.

    They do not apply if spaces do not separate the words, or if there are too few words.

    Args:
        text: text of the test split, with which samples are compared.
    """
    unspaced = _unspaced(text)
    if unspaced:
        return same_reason(
            BY_WORD,
            f"{unspaced}, so words cannot be told apart by their spaces; character_distance and "
            "bits_per_character do not need words",
        )
    if not words(text):
        reasons = same_reason(
            ("words_in_held_out", "word_distance"),
            "the test text has no word of three letters or more",
        )
        count = len(tokens(text))
        if count < 4:
            reasons |= same_reason(
                (*_SEQUENCES, "self_bleu"), f"the test text has {count} words, and this needs 4"
            )
        return reasons
    return {}


def above_chance(
    predictions: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], items: int
) -> bool:
    """Return whether predictions agree with the labels significantly more often than by chance.

    The accuracy must exceed the chance agreement by 2.33 standard errors. The chance agreement
    follows from the class frequencies of predictions and labels (Cohen 1960). It is 1 for a
    constant prediction on items of a single class.

    Args:
        predictions: predicted classes, int64, shape (N,).
        truth: labels, int64, shape (N,).
        items: number of independent items. It is below N if each item was classified in several
            transformed versions, because those predictions depend on each other.
    """
    kinds = max(int(predictions.max()), int(truth.max())) + 1
    shares = [np.bincount(values, minlength=kinds) / len(values) for values in (predictions, truth)]
    chance = float(shares[0] @ shares[1])
    error = float(np.sqrt(chance * (1 - chance) / items))
    return float((predictions == truth).mean()) > chance + _Z * error


def _unspaced(text: str) -> str | None:
    """Return the evidence that spaces do not separate the words of a text; None if they do."""
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
    # Unicode classifies the vowel signs of Thai, Khmer and others as marks; they count as letters.
    character = chr(code)
    return character.isalpha() or any(
        low <= code <= high for ranges in _UNSPACED.values() for low, high in ranges
    )
