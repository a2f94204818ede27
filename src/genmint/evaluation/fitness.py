"""Whether each metric of samples can tell real items from graded corruptions of them.

A metric is a measure of quality only if it becomes worse when items do. Which corruptions it has to
see is a property of the metric: a metric of diversity does not see blur, and precision does not see
that a class is missing.
"""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genmint.config.metric_catalogue import STDERR, metric
from genmint.data.views.spec import DataSpec
from genmint.evaluation.corruptions import (
    band_limited,
    blurred,
    noisy,
    reversed_in_time,
    shuffled,
)
from genmint.evaluation.judge import GridJudge, Metrics, TextJudge
from genmint.evaluation.text_corruptions import (
    ngram_text,
    repeated_sentence,
    shuffled_characters,
    shuffled_words,
)
from genmint.metrics.likelihood import BOUNDARY, UNKNOWN
from genmint.metrics.resampling import evenly_spaced
from genmint.metrics.words import as_text

# Values of each metric by corruption, from the mildest grade to the strongest.
Graded = Mapping[str, Sequence[Metrics]]

GRADES = (0.25, 0.5, 1.0)
# Most items that are corrupted; more do not change the result.
_ITEMS = 1000
_TEXTS = 200
# Training items from which the standard deviation of the pixels is computed.
_SPREAD = 10_000
# Symbols of the training text from which n-gram text is drawn.
_TRAINING_TEXT = 1_000_000

QUALITY = ("noise", "blur", "shuffled blocks", "band limit", "reversal")
DIVERSITY = ("missing classes", "repeated item")
_CHARACTERS, _NGRAM, _WORDS, _SENTENCE = (
    "shuffled characters",
    "n-gram text",
    "shuffled words",
    "repeated sentence",
)

# Corruptions that each metric has to see; those of other kinds of data are not measured. The first
# pattern that fits counts. Metrics that are not here are not judged: likelihoods are no metrics of
# samples, and those of memorisation compare with the training data.
_EXPECTED: tuple[tuple[str, tuple[str, ...]], ...] = (
    # Passages of a text: the order of its words changes the states of a character model little.
    ("frechet_*_rnn", (_CHARACTERS, _NGRAM, _SENTENCE)),
    ("kernel_*_rnn", (_CHARACTERS, _NGRAM, _SENTENCE)),
    ("frechet_*", (*QUALITY, *DIVERSITY, _CHARACTERS, _NGRAM, _WORDS, _SENTENCE)),
    ("kernel_*", (*QUALITY, *DIVERSITY, _CHARACTERS, _NGRAM, _WORDS, _SENTENCE)),
    ("precision", QUALITY),
    ("density", QUALITY),
    ("recall", ("repeated item",)),
    ("coverage", (*QUALITY, *DIVERSITY)),
    ("confident", ("noise", "blur", "shuffled blocks")),
    ("label_accuracy", ("wrong labels",)),
    ("classes", DIVERSITY),
    ("class_imbalance", DIVERSITY),
    ("class_kl", DIVERSITY),
    ("log_spectral_distance", ("noise", "band limit")),
    ("words_in_held_out", (_CHARACTERS, _NGRAM)),
    ("word_distance", (_CHARACTERS, _NGRAM, _SENTENCE)),
    ("character_distance", (_SENTENCE,)),
    ("distinct_[123]", (_SENTENCE,)),
    ("self_bleu", (_SENTENCE,)),
    ("repetition", (_SENTENCE,)),
)
# The strongest grade must take away at least this share of the distance from the value of real
# items to the worst possible value, or be so many times as large as that of real items.
_LOST, _TIMES = 1 / 3, 3.0
# A grade may be better than a milder one by this share of what the strongest grade takes away.
_DISORDER = 0.2


def expected(name: str) -> tuple[str, ...]:
    """Return the corruptions that a metric has to see; empty for metrics that are not judged."""
    patterns = (seen for pattern, seen in _EXPECTED if fnmatch.fnmatchcase(name, pattern))
    return next(patterns, ())


def unfit(real: Metrics, graded: Graded, noise_floor: Metrics) -> dict[str, str]:
    """Return the metrics that do not order real items and their corruptions, with the reason.

    Args:
        real: values of real held-out items.
        graded: values of their corruptions, as many items in each grade.
        noise_floor: by metric, the difference between two sets of real items.
    """
    reasons = {}
    for name, value in real.items():
        if name.endswith(STDERR):
            continue
        blind = []
        for corruption in expected(name):
            grades = [grade[name] for grade in graded.get(corruption, ()) if name in grade]
            if grades and not _in_order(name, value, grades, noise_floor.get(name, 0.0)):
                shown = ", ".join(f"{grade:.3g}" for grade in grades)
                blind.append(f"{corruption} {shown}")
        if blind:
            reasons[name] = f"does not order real items ({value:.3g}) and {'; '.join(blind)}"
    return reasons


def _in_order(name: str, real: float, grades: Sequence[float], floor: float) -> bool:
    """Return whether a metric falls from real items to the strongest grade, as far as it must."""
    known = metric(name)
    values = [known.sign * value for value in (real, *grades)]
    lost = values[0] - values[-1]
    worst = known.low if known.direction == "higher" else known.high
    separated = np.isfinite(worst) and lost >= _LOST * abs(real - worst) and lost > floor
    if known.direction == "lower":
        separated |= grades[-1] >= _TIMES * max(abs(real), floor)
    steps = [later - earlier for earlier, later in itertools.pairwise(values)]
    return bool(separated) and lost > 0 and max(steps) <= _DISORDER * lost + floor


def grid_fitness(
    judge: GridJudge, grids: Tensor, labels: Tensor | None, samples: int
) -> tuple[Metrics, dict[str, list[Metrics]]]:
    """Return the metrics of held-out grids, and of graded corruptions of them.

    Args:
        judge: judge of the data set.
        grids: held-out grids other than those of the judge, uint8 N×C×H×W.
        labels: classes of the grids, int64 N; None if the set is unlabelled.
        samples: number of samples of the protocol; at most 1,000 grids are used.

    Returns:
        Values of real grids; by corruption, the values of each grade.
    """
    if judge.task != "labels" or labels is None or len(labels.unique()) < 2:
        labels = None
    generator = torch.Generator().manual_seed(judge.seed)
    n = min(len(grids), samples, _ITEMS)
    chosen = torch.linspace(0, len(grids) - 1, n).to(torch.int64)
    real, classes = grids[chosen], None if labels is None else labels[chosen]

    def score(items: Tensor, kinds: Tensor | None) -> Metrics:
        values = judge.quality(items, errors=False, labels=kinds)
        return {name: value for name, value in values.items() if not name.endswith(STDERR)}

    graded: dict[str, list[Metrics]] = {}
    for name, corrupt in _corruptions(judge, generator).items():
        graded[name] = [
            score(_rounded(corrupt(real.to(torch.float32), torch.full((n,), grade))), classes)
            for grade in GRADES
        ]
    if labels is not None:
        graded["missing classes"] = [
            score(grids[rows], None) for rows in _without_classes(labels, n, generator)
        ]
    order = torch.randperm(n, generator=generator)
    if classes is not None:
        graded["wrong labels"] = [
            score(real, torch.where(order < round(grade * n), classes[order], classes))
            for grade in GRADES
        ]
    repeated = []
    for grade in GRADES:
        rows = chosen.clone()
        rows[order[: round(grade * n)]] = chosen[order[0]]
        repeated.append(score(grids[rows], None))
    graded["repeated item"] = repeated
    return score(real, classes), graded


def text_fitness(
    judge: TextJudge, pieces: npt.NDArray[np.int64], spec: DataSpec, samples: int, seed: int
) -> tuple[Metrics, dict[str, list[Metrics]]]:
    """Return the metrics of held-out texts, and of graded corruptions of them.

    Args:
        judge: judge of the data set.
        pieces: token ids of texts of a held-out split other than that of the judge, int64 N×T.
        spec: specification of the text.
        samples: number of samples of the protocol; at most 200 texts are used.
        seed: seed of the protocol.

    Returns:
        As `grid_fitness`. The grades of n-gram text are the orders 2, 1 and 0.
    """
    n = min(len(pieces), samples, _TEXTS)
    chosen = pieces[evenly_spaced(len(pieces), n)]
    texts = [as_text(piece, spec) for piece in chosen]

    def score(items: Sequence[str]) -> Metrics:
        symbols = np.stack([_symbols(item, spec) for item in items])
        values = judge.quality(items) | judge.feature_distances(symbols)
        return {name: value for name, value in values.items() if not name.endswith(STDERR)}

    generator = np.random.default_rng(seed)
    corruptions = {
        _CHARACTERS: shuffled_characters,
        _WORDS: shuffled_words,
        _SENTENCE: repeated_sentence,
    }
    graded = {
        name: [score(corrupt(texts, grade, generator)) for grade in GRADES]
        for name, corrupt in corruptions.items()
    }
    train = judge.train[:_TRAINING_TEXT].astype(np.int64)
    graded[_NGRAM] = []
    for order in (2, 1, 0):
        drawn = ngram_text(train, order, (n, pieces.shape[1]), generator)
        graded[_NGRAM].append(score([as_text(text, spec) for text in drawn]))
    return score(texts), graded


def _symbols(text: str, spec: DataSpec) -> npt.NDArray[np.int64]:
    """Encode a text that `as_text` made; document boundaries may become line ends."""
    known = {character: i for i, character in enumerate(spec.vocabulary or ()) if i > BOUNDARY}
    known = {"\n": BOUNDARY, "\ufffd": UNKNOWN} | known
    return np.array([known.get(character, UNKNOWN) for character in text], dtype=np.int64)


def _corruptions(
    judge: GridJudge, generator: torch.Generator
) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    spread = float(judge.train[:_SPREAD].to(torch.float32).std())
    noise = {"noise": lambda x, s: noisy(x, s, spread, generator)}
    if judge.dynamic_range is not None:
        return noise | {"band limit": band_limited, "reversal": reversed_in_time}
    return noise | {"blur": blurred, "shuffled blocks": lambda x, s: shuffled(x, s, generator)}


def _rounded(grids: Tensor) -> Tensor:
    return grids.round().clamp(0, 255).to(torch.uint8)


def _without_classes(labels: Tensor, n: int, generator: torch.Generator) -> list[Tensor]:
    """Return the rows of n items, drawn again, without one class, half of them, all but one."""
    present = labels.unique()
    k = len(present)
    counts = sorted({1, k // 2, k - 1} - {0})
    rows = []
    for missing in counts:
        left = torch.isin(labels, present[: k - missing]).nonzero().flatten()
        rows.append(left[torch.randint(0, len(left), (n,), generator=generator)])
    return rows
