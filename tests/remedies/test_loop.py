"""Remedies that every family shares."""

import pytest
import torch
from sklearn.datasets import load_digits

from genmint.data.spec import DataSpec
from genmint.models.store import build
from genmint.training.loop import fit
from genmint.training.stepper import Stepper

SPEC = DataSpec(dataset="digits", kind="image", view="grid", shape=(1, 8, 8))


def digits():
    """uint8 1797×1×8×8."""
    return torch.tensor(load_digits().images * 255 / 16).round().to(torch.uint8)[:, None]


@pytest.mark.switch("vae.augment")
def test_a_vae_meets_its_items_moved(block):
    meets_moved(block("vae", hidden=[8], batch_size=8, augment={"shift": 2}))


@pytest.mark.switch("gan.augment")
def test_a_gan_meets_its_items_moved(block):
    meets_moved(block("gan", hidden=[8], batch_size=8, augment={"shift": 2}))


def meets_moved(config):
    data = digits()[:64]
    stepper = Stepper(build(config, SPEC), config, data, "fp32")
    known = {item.numpy().tobytes() for item in data}
    met = [item.numpy().tobytes() for _ in range(8) for item in stepper._next().data]
    assert sum(item not in known for item in met) > 32


@pytest.mark.switch("vae.optimiser.weight_decay")
def test_decay_is_decoupled_from_the_gradient(block):
    """AdamW (Loshchilov and Hutter 2019): a weight without gradient shrinks by 1 − lr·decay."""
    config = block("vae", hidden=[8], optimiser={"name": "adamw", "lr": 0.1, "weight_decay": 0.5})
    model = build(config, SPEC)
    stepper = Stepper(model, config, torch.zeros(64, 1, 8, 8, dtype=torch.uint8), "fp32")
    # Black pixels bring the first layer's weights no gradient, but for their bias.
    before = model.encoder[1].weight.detach().clone()
    stepper.step(0)
    assert torch.allclose(model.encoder[1].weight, before * (1 - 0.1 * 0.5))


@pytest.mark.soak
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.switch("vae.augment")
def test_few_digits_go_further_when_they_are_moved(block, seed):
    """100 digits: the held-out bound is better by more than a nat."""
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(seed))
    data = digits()[order]
    train, validation, test = data[:100], data[100:400], data[400:1000]

    def bound(**more):
        config = block(
            "vae", hidden=[256, 256], latent=8, steps=1500, batch_size=50, validate_every=50,
            seed=seed, optimiser={"name": "adamw", "lr": 1e-3}, **more,
        )  # fmt: skip
        model = build(config, SPEC)
        fit("digits", model, config, train, validation)
        return float(model.elbo(test, seed=0)["elbo"].mean())

    assert bound(augment={"shift": 1, "rotate": 10.0, "scale": 0.1}) > bound() + 1.0
