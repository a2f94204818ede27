"""A model that is told the class learns what is of it: asked for a class, it gives that class."""

import pytest
import torch
from sklearn.datasets import load_digits

from genmint.data.views.spec import DataSpec
from genmint.models.shared.store import build
from genmint.training.loop import fit

SEEDS = range(3)


def trained(config, spec, data, labels):
    model = build(config, spec)
    given = (labels, labels[:100]) if config.conditional else None
    fit("tiny", model, config, data, data[:100], labels=given)
    return model


def asked(model, labels):
    """Samples for these labels; of a model that cannot be asked, as many samples."""
    given = labels if model.config.conditional else None
    return model.sample(len(labels), seed=1, labels=given)


@pytest.mark.switch("vae.conditional")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_vae_draws_the_digit_it_is_asked_for(block, seed):
    """Kingma et al. 2014, figure 1. Judged by the nearest mean of a class, right for 0.9 of all."""
    held = load_digits()
    data = torch.from_numpy((held.images * 255 / 16).round().astype("uint8"))[:, None]
    labels = torch.from_numpy(held.target).long()
    spec = DataSpec(
        dataset="digits", kind="image", view="grid", shape=(1, 8, 8), labels=tuple("0123456789")
    )
    config = block("vae", conditional=True, hidden=[64], latent=4, steps=250, seed=seed,
                   validate_every=250, optimiser={"lr": 3e-3})  # fmt: skip
    wanted = torch.arange(300) % 10
    drawn = asked(trained(config, spec, data, labels), wanted).flatten(1).float()
    means = torch.stack([data[labels == k].float().mean(0).flatten() for k in range(10)])
    found = torch.cdist(drawn, means).argmin(dim=1)
    assert float((found == wanted).float().mean()) > 0.8


@pytest.mark.switch("gan.conditional")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_gan_draws_the_point_it_is_asked_for(block, seed):
    """Miyato and Koyama 2018: three clouds of points of two pixels, one a class."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.tensor([[60.0, 60.0], [190.0, 60.0], [125.0, 190.0]])
    labels = torch.arange(600) % 3
    points = centres[labels] + 8 * torch.randn(600, 2, generator=generator)
    data = points.round().to(torch.uint8).view(-1, 1, 1, 2)
    spec = DataSpec(dataset="d", kind="image", view="grid", shape=(1, 1, 2), labels=tuple("abc"))
    fast = {"lr": 3e-3, "betas": [0.5, 0.999]}
    config = block("gan", conditional=True, hidden=[32, 32], latent=4, steps=400, seed=seed,
                   validate_every=100, generator=fast, discriminator=fast)  # fmt: skip
    wanted = torch.arange(300) % 3
    drawn = asked(trained(config, spec, data, labels), wanted).flatten(1).float()
    assert float((torch.cdist(drawn, centres).argmin(dim=1) == wanted).float().mean()) > 0.9


@pytest.mark.switch("rnn.conditional")
@pytest.mark.parametrize("seed", SEEDS)
def test_an_rnn_draws_the_sequence_it_is_asked_for(block, seed):
    """Three classes that go up by one, two or three levels a step, from anywhere."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(300) % 3
    begin = torch.randint(0, 12, (300, 1), generator=generator)
    data = ((begin + torch.arange(8) * (labels[:, None] + 1)) % 12).to(torch.uint8)
    spec = DataSpec(
        dataset="d", kind="audio", view="sequence", shape=(8,), symbols=12, sample_rate=8000,
        samples=8, labels=tuple("abc"),
    )  # fmt: skip
    config = block("rnn", conditional=True, hidden=32, embedding=16, steps=150, batch_size=32,
                   seed=seed, validate_every=150, optimiser={"lr": 1e-2})  # fmt: skip
    wanted = torch.arange(150) % 3
    # The first step: after it, the ones before it tell the class.
    drawn = asked(trained(config, spec, data, labels), wanted)
    step = (drawn[:, 1] - drawn[:, 0]) % 12 - 1
    assert float((step == wanted).float().mean()) > 0.8
