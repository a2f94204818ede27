"""Graded corruptions of texts: shuffled characters and words, n-gram text, a repeated sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_WORD = re.compile(r"\S+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")


def shuffled_characters(
    texts: Sequence[str], severity: float, generator: np.random.Generator
) -> list[str]:
    """Permute a share of the characters of each text among themselves, all at severity 1."""
    return ["".join(_shuffled(list(text), severity, generator)) for text in texts]


def shuffled_words(
    texts: Sequence[str], severity: float, generator: np.random.Generator
) -> list[str]:
    """Permute a share of the words of each text; what separates them stays in its place."""
    result = []
    for text in texts:
        words = iter(_shuffled(_WORD.findall(text), severity, generator))
        result.append(_WORD.sub(lambda _, words=words: next(words), text))  # type: ignore[misc]
    return result


def repeated_sentence(
    texts: Sequence[str], severity: float, generator: np.random.Generator
) -> list[str]:
    """Replace a share of the texts by repetitions of one sentence, as long as the text.

    The sentence is the first text up to the end of its first sentence, at most a quarter of it.
    """
    first = texts[0]
    sentence = _SENTENCE_END.split(first, maxsplit=1)[0][: max(1, len(first) // 4)].rstrip() + " "
    replaced = set(generator.permutation(len(texts))[: round(severity * len(texts))].tolist())
    return [
        (sentence * (len(text) // len(sentence) + 1))[: len(text)] if i in replaced else text
        for i, text in enumerate(texts)
    ]


def ngram_text(
    train: npt.NDArray[np.int64], order: int, shape: tuple[int, int], generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draw texts in which a symbol follows the `order` symbols before it as in the training text.

    The training text is read as a circle, so that its end has a continuation.

    Args:
        train: symbols of the training text.
        order: number of symbols of the context; 0 draws each symbol by its frequency.
        shape: number and length of the texts.
        generator: source of the draws.

    Returns:
        Symbols, integers of that shape.
    """
    n, length = shape
    symbols = int(train.max()) + 1
    contexts = np.zeros(len(train), dtype=np.int64)
    for back in range(order):
        contexts = contexts * symbols + np.roll(train, -back)
    by_context = np.argsort(contexts, kind="stable")
    ordered = contexts[by_context]
    first = np.searchsorted(ordered, contexts, side="left")
    last = np.searchsorted(ordered, contexts, side="right")
    texts = np.empty((n, length), dtype=np.int64)
    place = generator.integers(0, len(train), n)
    for at in range(length):
        place = by_context[generator.integers(first[place], last[place])]
        texts[:, at] = train[(place + order) % len(train)]
        place = (place + 1) % len(train)
    return texts


def _shuffled(parts: list[str], severity: float, generator: np.random.Generator) -> list[str]:
    """Permute a share of the entries of a list among themselves."""
    chosen = np.flatnonzero(generator.random(len(parts)) < severity)
    result = list(parts)
    for place, source in zip(chosen, generator.permutation(chosen), strict=True):
        result[place] = parts[source]
    return result
