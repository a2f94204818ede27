"""What costs the square of the number of pictures looks at some of them; classes count in all."""

import dataclasses

import numpy as np
import pytest
import torch

from genmint.metrics import judge as module
from genmint.metrics.extractor import Extractor
from genmint.metrics.judge import GridJudge


@pytest.fixture(scope="module")
def judge():
    """Of stacks of 8×8; its extractor was never trained, which is nothing to what is asked here."""
    torch.manual_seed(0)
    extractor = Extractor(3, 4, stacked=True).eval().requires_grad_(False)
    torch.nn.init.normal_(extractor.head.weight)
    train, test = (torch.from_numpy(pictures(n, seed)) for n, seed in ((60, 0), (80, 1)))
    labels = np.arange(60) % 64
    return GridJudge("d", extractor, "labels", train, labels, test, 0, None)


def pictures(n, seed):
    return np.random.default_rng(seed).integers(0, 256, (n, 3, 8, 8), dtype=np.uint8)


def fresh(judge):
    return dataclasses.replace(judge)


def test_features_of_the_first_samples_and_classes_of_all(judge, monkeypatch):
    grids = torch.from_numpy(pictures(60, 2))
    everything = fresh(judge).quality(grids, errors=False)
    first = fresh(judge).quality(grids[:20], errors=False)
    monkeypatch.setattr(module, "COMPARED_SAMPLES", 20)
    found = fresh(judge).quality(grids, errors=False)
    counted = {"confident", "classes", "class_imbalance", "class_kl"}
    assert first["classes"] < everything["classes"]
    for name, value in found.items():
        metric = name.removesuffix("_stderr")
        assert value == (everything if metric in counted else first)[name], name


def test_held_out_items_are_spread_over_the_split_where_there_are_more(judge, monkeypatch):
    whole = fresh(judge).real
    monkeypatch.setattr(module, "_COMPARED_ITEMS", 80)
    assert np.array_equal(fresh(judge).real, whole)
    monkeypatch.setattr(module, "_COMPARED_ITEMS", 40)
    some = fresh(judge).real
    assert some == pytest.approx(whole[np.linspace(0, 79, 40).astype(int)], abs=1e-5)


def test_the_distance_is_extrapolated_from_twice_as_many_samples_as_features(judge):
    grids = torch.from_numpy(pictures(192, 3))
    assert "frechet_d_cnn_infinite" in fresh(judge).quality(grids)
    assert "frechet_d_cnn_infinite" not in fresh(judge).quality(grids[:191])
