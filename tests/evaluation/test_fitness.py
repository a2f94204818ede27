"""A judge that cannot tell real items from corrupted ones is found, and its gate fails."""

import numpy as np
import pytest
import torch
from tests.decision.gates import METRICS, PROTOCOL, failed, gate, judge
from tests.evaluation.test_extractor import bars

from genmint.config.metric_catalogue import METRICS as CATALOGUE
from genmint.evaluation import extractor_training as training
from genmint.evaluation import fitness
from genmint.evaluation.judge import GridJudge

PRECISE = {"champion": {"superior": ("elbo",), "non_inferior": ("precision",)}}


def test_a_metric_that_falls_with_every_grade_is_fit():
    real = {"precision": 0.9, "frechet_d_cnn": 0.5, "frechet_d_cnn_stderr": 0.1}
    grades = [(0.8, 0.7), (0.5, 3.0), (0.1, 9.0)]
    values = [{"precision": p, "frechet_d_cnn": f} for p, f in grades]
    assert fitness.unfit(real, {"noise": values, "blur": values}, {}) == {}


@pytest.mark.parametrize(
    ("metric", "real", "grades", "fit"),
    [
        ("precision", 0.9, (1.0, 1.0, 1.0), False),
        ("precision", 0.9, (0.9, 0.85, 0.8), False),
        ("precision", 0.9, (0.1, 0.9, 0.1), False),
        ("precision", 0.9, (0.9, 0.9, 0.1), True),
        ("precision", 0.0, (0.0, 0.0, 0.0), False),
        ("density", 1.05, (1.0, 1.3, 1.01), False),
        ("frechet_d_cnn", 1.0, (1.0, 1.1, 1.2), False),
        ("frechet_d_cnn", 1.0, (20.0, 40.0, 38.0), True),
        ("frechet_d_cnn", 1.0, (40.0, 20.0, 5.0), False),
        ("kernel_d_cnn", -0.01, (0.0, 0.1, 0.2), True),
    ],
)
def test_the_order_decides(metric, real, grades, fit):
    graded = {"noise": [{metric: value} for value in grades]}
    reasons = fitness.unfit({metric: real}, graded, {metric: 0.02})
    assert (reasons == {}) is fit
    if not fit:
        assert reasons[metric].startswith(f"does not order real items ({real:.3g}) and noise ")


def test_a_difference_within_the_noise_is_none():
    graded = {"repeated item": [{"recall": value} for value in (0.1, 0.05, 0.0)]}
    assert fitness.unfit({"recall": 0.1}, graded, {"recall": 0.02}) == {}
    assert list(fitness.unfit({"recall": 0.1}, graded, {"recall": 0.1})) == ["recall"]


def test_a_metric_has_to_see_only_what_it_measures():
    same = [{"precision": 0.9, "classes": 10.0, "novel_4grams": 0.5}] * 3
    real = same[0]
    assert fitness.unfit(real, {"missing classes": same}, {}).keys() == {"classes"}
    assert fitness.unfit(real, {"blur": same}, {}).keys() == {"precision"}


def test_every_expectation_is_about_a_metric_that_exists():
    names = [entry.pattern.replace("*", "digits") for entry in CATALOGUE]
    judged = {name for name in names if fitness.expected(name)}
    assert {"precision", "density", "coverage", "frechet_digits_cnn", "word_distance"} <= judged
    assert not judged & {"elbo", "bits_per_dim", "copied", "train_seconds"}
    for pattern, _ in fitness._EXPECTED:
        assert any(fitness.fnmatch.fnmatchcase(name, pattern) for name in names), pattern


def judged(extractor):
    """The unfit metrics of images that this extractor judges."""
    (known, labels), (others, classes) = bars(120, 8), bars(100, 9)
    about = GridJudge(
        dataset="digits",
        extractor=extractor,
        task="labels",
        train=known,
        labels=labels.numpy(),
        test=known,
        seed=0,
        dynamic_range=None,
    )
    values, graded = fitness.grid_fitness(about, others, classes, 100)
    assert {len(grades) for name, grades in graded.items() if name != "missing classes"} == {3}
    return fitness.unfit(values, graded, dict.fromkeys(values, 0.02))


def trained(epochs):
    items, held_out = training.Examples(*bars(240, 0)), training.Examples(*bars(60, 1))
    subject = training.Subject("labels", 3)
    return training.train_extractor(items, held_out, subject, epochs=epochs, seed=0)


def test_the_gate_fails_on_a_judge_that_was_trained_for_one_step(monkeypatch):
    """Features of random weights see noise too, but nothing is classified with confidence."""
    rests = {"champion": {"superior": ("precision",), "non_inferior": ("confident", "classes")}}
    good = judged(trained(12))
    assert not {"precision", "density", "confident", "classes", "frechet_digits_cnn"} & set(good)
    assert failed(judge(gate(**rests), protocol=PROTOCOL | {"unfit": good})) == []
    monkeypatch.setattr(training, "_BUDGET", 1)
    bad = judged(trained(12))
    assert {"confident", "classes"} <= set(bad)
    record = judge(gate(**rests), protocol=PROTOCOL | {"unfit": bad})
    assert failed(record) == ["evidence.judge"]
    assert "confident does not order real items" in record.failed()[0].reason


def test_the_gate_fails_on_a_metric_that_cannot_order_the_corruptions():
    """The features are the same for all items but one, so that only an extreme is seen."""

    class Blind(torch.nn.Module):
        spread = torch.tensor(50.0)

        def features(self, grids):
            brightest = grids.double().amax(dim=(1, 2, 3)).numpy()
            return np.stack([brightest, np.arange(len(grids)) % 7], axis=1)

        def probabilities(self, grids):
            return np.full((len(grids), 3), 1 / 3)

    bad = judged(Blind())
    assert {"precision", "density", "confident"} <= set(bad)
    record = judge(gate(**PRECISE), metrics=METRICS | {"precision": 0.9},
                   protocol=PROTOCOL | {"unfit": bad})  # fmt: skip
    assert "evidence.judge" in failed(record)
