"""What costs the square of the number of pictures looks at some of them; classes count in all."""

import dataclasses

import numpy as np
import pytest
import torch

from genmint.evaluation import judge as module
from genmint.evaluation.judge import GridJudge

CLASSES, FEATURES = 50, 5


class Told:
    """An extractor that says what stands in the pixels: the first tells the class."""

    extrapolates = True

    def features(self, grids):
        return grids.flatten(1)[:, 1 : 1 + FEATURES].double().numpy()

    def probabilities(self, grids):
        return np.eye(CLASSES)[grids.flatten(1)[:, 0].numpy() % CLASSES]


def pictures(n, seed):
    drawn = np.random.default_rng(seed).integers(0, 256, (n, 3, 8, 8), dtype=np.uint8)
    return torch.from_numpy(drawn)


@pytest.fixture
def judge():
    labels = np.arange(60) % CLASSES
    return GridJudge("d", Told(), "labels", pictures(60, 0), labels, pictures(80, 1), 0, None)


def test_features_of_the_first_samples_and_classes_of_all(judge, monkeypatch):
    grids = pictures(60, 2)
    whole, first = judge.quality(grids), judge.quality(grids[:20])
    monkeypatch.setattr(module, "COMPARED_SAMPLES", 20)
    found = judge.quality(grids)
    counted = {"confident", "classes", "class_imbalance", "class_kl"}
    assert first["classes"] < whole["classes"]
    assert set(found) == set(whole)
    for name, value in found.items():
        expected = whole if name.removesuffix("_stderr") in counted else first
        assert value == expected[name], name


def test_held_out_items_are_spread_over_the_split_where_there_are_more(judge, monkeypatch):
    whole = judge.real
    monkeypatch.setattr(module, "_COMPARED_ITEMS", 80)
    assert np.array_equal(dataclasses.replace(judge).real, whole)
    monkeypatch.setattr(module, "_COMPARED_ITEMS", 40)
    some = dataclasses.replace(judge).real
    assert np.array_equal(some, whole[np.linspace(0, 79, 40).astype(int)])


def test_the_distance_is_extrapolated_from_twice_as_many_samples_as_features(judge):
    grids = pictures(2 * FEATURES, 3)
    assert "frechet_d_cnn_infinite" in judge.quality(grids)
    assert "frechet_d_cnn_infinite" not in judge.quality(grids[1:])
