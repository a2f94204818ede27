import math

import pytest

from genmint.decision.trivial_baselines import better_codecs, no_better


@pytest.mark.parametrize(
    ("metric", "value", "baseline", "shown"),
    [
        ("log_spectral_distance", 12.6, 2.2, "worse than noise: 2.2"),
        ("log_spectral_distance", 1.9, 2.2, None),
        ("elbo", -30.0, -27.0, "worse than noise: -27"),
        ("elbo", -20.0, -27.0, None),
        # Equal is no better only where nothing could be worse.
        ("recall", 0.0, 0.0, "no better than noise: 0"),
        ("recall", 0.5, 0.5, None),
        ("classes", 10.0, 10.0, None),
        ("silence", 1.0, 1.0, "no better than noise: 1"),
        ("silence", 0.0, 0.0, None),
        ("elbo", math.nan, -27.0, "worse than noise: -27"),
        ("elbo", -20.0, math.nan, None),
        ("elbo", -20.0, "high", None),
        ("elbo", None, -27.0, None),
        ("elbo", True, -27.0, None),
        ("unknown_metric", 1.0, 2.0, None),
    ],
)
def test_a_metric_against_its_trivial_baseline(metric, value, baseline, shown):
    marked = no_better({metric: value}, {metric: {"noise": baseline}})
    assert [each.reason for each in marked] == ([] if shown is None else [shown])


def test_the_best_baseline_is_named_and_the_order_kept():
    metrics = {"recall": 0.1, "precision": 0.2, "elbo": -1.0}
    baselines = {
        "precision": {"noise": 0.3, "mean": 0.9},
        "recall": {"noise": 0.2},
        "elbo": ["not", "a", "map"],
    }
    assert [str(each) for each in no_better(metrics, baselines)] == [
        "recall 0.1 (worse than noise: 0.2)",
        "precision 0.2 (worse than mean: 0.9)",
    ]


def test_a_codec_is_no_trivial_baseline_but_named_where_it_is_better():
    metrics = {"bits_per_dim": 6.57, "bits_per_character": 2.0, "elbo": -3.0}
    baselines = {
        "bits_per_dim": {"webp": 4.04, "png": 5.68, "xz": 6.57, "order_1": 1.0, "webp_mosaic": "4"},
        "bits_per_character": {"xz": 3.1},
    }
    assert better_codecs(metrics, baselines) == {"bits_per_dim": {"png": 5.68, "webp": 4.04}}
    assert list(better_codecs(metrics, baselines)["bits_per_dim"]) == ["png", "webp"]
    without_order = {"bits_per_dim": {"png": 5.68}}
    assert no_better(metrics, without_order) == []


@pytest.mark.parametrize("value", [None, True, "6"])
def test_a_value_that_is_no_number_has_no_better_codec(value):
    assert better_codecs({"bits_per_dim": value}, {"bits_per_dim": {"png": 5.0}}) == {}
    assert better_codecs({"bits_per_dim": 6.0}, {"bits_per_dim": None}) == {}
