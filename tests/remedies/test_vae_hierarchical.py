"""The hierarchical VAE, and what keeps its training run stable."""

import math

import pytest
import torch
from sklearn.datasets import load_digits

from genmint.data.views.spec import DataSpec
from genmint.models.shared.store import build
from genmint.training.loop import fit
from genmint.training.stepper import Stepper

SEEDS = range(3)


def grid(*shape):
    return DataSpec(dataset="digits", kind="image", view="grid", shape=shape)


def tiles(n, seed):
    """16 tiles of 2×2 pixels with a grey level each, uint8 n×1×8×8: 2 of 8 bits per pixel."""
    levels = torch.randint(0, 256, (n, 1, 4, 4), generator=torch.Generator().manual_seed(seed))
    return levels.to(torch.uint8).repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.switch("vae.network")
def test_latents_at_every_place_hold_what_a_vector_cannot(block):
    """Child 2021; Vahdat and Kautz 2020: detail that is independent from place to place."""
    config = block(
        "vae", network="hierarchical", likelihood="discretised-logistic", activation="silu",
        steps=100, batch_size=16, validate_every=100,
        optimiser={"name": "adamw", "lr": 4e-3, "schedule": "cosine"},
    )  # fmt: skip
    model = build(config, grid(1, 8, 8))
    fit("tiles", model, config, tiles(600, 0), tiles(64, 1))
    elbo = model.elbo(tiles(64, 2), seed=0)["elbo"].mean()
    # 6.9 bits; a vector of 16 latents has learnt nothing, 8.1 bits.
    assert -float(elbo) / 64 / math.log(2) < 7.5


@pytest.mark.switch("vae.sampling")
def test_samples_of_a_lower_temperature_vary_less(block):
    """Child 2021: standard deviations of the prior times t."""
    levels = {"temperature": (0.5, 0.1)}
    config = block("vae", network="hierarchical", hierarchy=SMALL, sampling=levels)
    model = varied(build(config, grid(1, 8, 8)))
    plain = model.sample(200, seed=1, temperature=1.0).double().std(0).mean()
    assert model.sample(200, seed=1).double().std(0).mean() < 0.6 * plain
    assert config.drawing == {"temperature": [0.5, 0.1]}


SMALL = {"groups": (1, 1), "width": 8, "channels": 2}


def varied(model):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


class Outlier:
    """A batch whose loss, and so its gradient, is a million times as large, in one step."""

    def __init__(self, monkeypatch, step):
        usual, usual_step, now = Stepper._loss, Stepper.step, []

        def do(stepper, number, **arguments):
            now[:] = [number]
            return usual_step(stepper, number, **arguments)

        def loss(stepper, group, batch):
            value, scalars = usual(stepper, group, batch)
            return value * (1e6 if now == [step] else 1.0), scalars

        monkeypatch.setattr(Stepper, "step", do)
        monkeypatch.setattr(Stepper, "_loss", loss)


@pytest.mark.switch("vae.optimiser.skip_norm")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_batch_with_a_huge_gradient_does_not_stop_learning(block, monkeypatch, seed):
    """Child 2021: its step is left out. Else Adam's average of squares makes all steps tiny."""
    config = block(
        "vae", hidden=(64,), latent=8, steps=200, batch_size=32, validate_every=100, seed=seed,
        optimiser={"lr": 4e-3, "skip_norm": 1e5},
    )  # fmt: skip
    data = torch.from_numpy((load_digits().images * 255 / 16).round().astype("uint8"))[:, None]

    def trained():
        return fit("digits", build(config, grid(1, 8, 8)), config, data[:1500], data[1500:])

    usual = trained().best_loss
    with monkeypatch.context() as patched:
        Outlier(patched, step=21)
        disturbed = trained()
    assert disturbed.best_loss < usual + 0.5
    assert [row["skipped"] for row in disturbed.history] == [1, 0]
