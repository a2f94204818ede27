import math

import numpy as np
import pytest
import torch

from genmint.config import VAEConfig
from genmint.data.views.binarise import binarise
from genmint.data.views.spec import DataSpec
from genmint.metrics import pixels
from genmint.metrics.pixels import mean_plus_noise, pixel_bernoulli, pixel_histogram
from genmint.models.shared import store


def bytes_of(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def test_bernoulli_by_hand():
    train = torch.tensor([[[[255, 0]]], [[[255, 0]]]], dtype=torch.uint8)
    test = torch.tensor([[[[255, 255]]]], dtype=torch.uint8)
    # Two of two and none of two, each with one "on" and one "off" added.
    assert pixel_bernoulli(train, test, 0) == pytest.approx([math.log(3 / 4) + math.log(1 / 4)])


def test_bernoulli_and_the_vae_see_the_same_binary_pixels(monkeypatch):
    test = bytes_of(70, 1, 4, 4)
    config = VAEConfig(family="vae", dataset="d", hidden=(4,), latent=2, steps=1)
    spec = DataSpec(dataset="d", kind="image", view="grid", shape=(1, 4, 4))
    model = store.build(config, spec)
    seen = []
    observe = model.likelihood.log_prob

    def record(parameters, x):
        seen.append(x)
        return observe(parameters, x)

    monkeypatch.setattr(model.likelihood, "log_prob", record)
    model.elbo(test, seed=9)
    assert torch.equal(torch.cat(seen)[:70].to(torch.uint8), binarise(test, 9))


def test_binarised_pixels_do_not_depend_on_what_follows():
    test = bytes_of(100, 1, 4, 4)
    assert torch.equal(binarise(test[:70], 3), binarise(test, 3)[:70])
    assert not torch.equal(binarise(test, 3), binarise(test, 4))


def test_binarised_pixels_are_on_as_often_as_they_are_bright():
    for value in (0, 51, 255):
        grids = torch.full((2000, 1, 4, 4), value, dtype=torch.uint8)
        assert float(binarise(grids, 0).float().mean()) == pytest.approx(value / 255, abs=0.01)


def test_histogram_by_hand():
    train = torch.tensor([[[[7, 9]]], [[[7, 8]]]], dtype=torch.uint8)
    test = torch.tensor([[[[7, 7]]]], dtype=torch.uint8)
    expected = math.log(3 / 258) + math.log(1 / 258)
    assert pixel_histogram(train, test) == pytest.approx([expected])


def test_histogram_does_not_depend_on_how_the_work_is_cut(monkeypatch):
    train, test = bytes_of(30, 3, 5, 5), bytes_of(8, 3, 5, 5, seed=1)
    whole = pixel_histogram(train, test)
    monkeypatch.setattr(pixels, "_PIXELS", 7)
    assert pixel_histogram(train, test) == pytest.approx(whole, rel=1e-12)


def test_mean_plus_noise_has_the_moments_of_each_pixel():
    train = bytes_of(50, 1, 2, 2)
    train[:, :, 0, 0] = 100
    drawn = mean_plus_noise(train, 20_000, 0).float()
    assert (drawn[:, 0, 0, 0] == 100).all()
    # Cutting to 0…255 moves the others a little.
    assert drawn[:, 0, 1, 1].mean() == pytest.approx(float(train[:, 0, 1, 1].float().mean()), abs=6)
    assert torch.equal(mean_plus_noise(train, 5, 1), mean_plus_noise(train, 5, 1))
