import math

import pytest
import torch

from genmint.config import GANConfig
from genmint.errors import ConfigError
from genmint.models.gan import discriminator_loss, generator_loss, sliced_wasserstein
from genmint.models.store import build


def config(**changes):
    block = {"family": "gan", "dataset": "d", "steps": 1, "hidden": (12, 8), "latent": 4}
    return GANConfig(**{**block, **changes})


def pixels(n, *shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, *shape), generator=generator, dtype=torch.uint8)


def test_losses_equal_the_formulas():
    real, fake = torch.randn(50, 1).double(), torch.randn(50, 1).double()
    d_real, d_fake = real.sigmoid(), fake.sigmoid()
    value = d_real.log().mean() + (1 - d_fake).log().mean()
    torch.testing.assert_close(discriminator_loss(real, fake), -value)
    torch.testing.assert_close(generator_loss(fake, "minimax"), (1 - d_fake).log().mean())
    torch.testing.assert_close(generator_loss(fake, "non-saturating"), -d_fake.log().mean())


def test_losses_stay_finite_where_the_sigmoid_does_not():
    sure = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    for loss in (
        discriminator_loss(sure, sure),
        generator_loss(sure, "minimax"),
        generator_loss(sure, "non-saturating"),
    ):
        assert torch.isfinite(loss)
    generator_loss(sure, "non-saturating").backward()
    assert torch.isfinite(sure.grad).all()


def test_minimax_vanishes_where_the_discriminator_is_sure_and_the_other_does_not():
    slopes = {}
    for form in ("minimax", "non-saturating"):
        logit = torch.tensor([-20.0], requires_grad=True)
        generator_loss(logit, form).backward()
        slopes[form] = abs(float(logit.grad))
    assert slopes["minimax"] < 1e-6
    assert slopes["non-saturating"] > 0.99


@pytest.mark.parametrize("form", ["minimax", "non-saturating"])
def test_each_loss_moves_its_own_network_only(grid, form):
    model = build(config(loss=form), grid(1, 8, 8))
    seen = []
    for loss in model.losses(pixels(16, 1, 8, 8), torch.Generator().manual_seed(0), fresh=True):
        model.zero_grad(set_to_none=True)
        loss.value.backward()
        with_gradient = {
            name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None
        }
        seen.append((loss.group, with_gradient))
    assert seen == [
        ("discriminator", {"discriminator"}),
        ("generator", {"generator"}),
    ]
    assert all(p.requires_grad for p in model.parameters())


def test_the_generator_sees_the_discriminator_after_its_step(grid):
    model = build(config(), grid(1, 8, 8))
    steps = model.losses(pixels(16, 1, 8, 8), torch.Generator().manual_seed(0), fresh=True)
    next(steps)
    with torch.no_grad():
        for parameter in model.discriminator.parameters():
            parameter.zero_()
    # A discriminator of zeros says 0 to everything: −log σ(0) = log 2.
    assert float(next(steps).value.detach()) == pytest.approx(math.log(2))


@pytest.mark.parametrize("network", ["mlp", "dcgan"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 14), (1, 28, 28), (1, 32, 33)])
def test_any_shape(grid, network, shape):
    model = build(config(network=network), grid(*shape))
    data = pixels(6, *shape)
    for loss in model.losses(data, torch.Generator().manual_seed(0), fresh=True):
        loss.value.backward()
    samples = model.sample(3, seed=0)
    assert samples.shape == (3, *shape)
    assert samples.dtype == torch.uint8


def test_dcgan_refuses_a_grid_below_eight(grid):
    with pytest.raises(ConfigError, match="dcgan needs a height and a width of 8"):
        build(config(network="dcgan"), grid(1, 7, 8))


def test_more_halvings_than_a_grid_has_are_refused(grid):
    with pytest.raises(ConfigError, match="can be halved only 3 times"):
        build(config(network="dcgan", hidden=(4, 4, 4, 4)), grid(1, 8, 8))


@pytest.mark.parametrize("network", ["mlp", "dcgan"])
def test_samples_do_not_depend_on_the_batch_size(grid, network):
    model = build(config(network=network), grid(1, 8, 8))
    assert torch.equal(
        model.sample(130, seed=2, batch_size=3), model.sample(130, seed=2, batch_size=999)
    )
    assert not torch.equal(model.sample(64, seed=2), model.sample(64, seed=3))


def test_sliced_wasserstein_is_zero_for_equal_sets_and_grows_with_the_shift():
    real = pixels(64, 1, 4, 4)
    shuffled = real[torch.randperm(64)]
    assert float(sliced_wasserstein(real, shuffled, seed=0)) == pytest.approx(0, abs=1e-6)
    near = real.float().add(10).clamp(max=255).to(torch.uint8)
    far = real.float().add(60).clamp(max=255).to(torch.uint8)
    assert sliced_wasserstein(real, near, seed=0) < sliced_wasserstein(real, far, seed=0)


def test_sliced_wasserstein_of_one_pixel_is_the_plain_distance():
    """In one dimension every direction is ±1, so it is the distance of the sorted values."""
    real = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    fake = torch.tensor([255, 0, 0, 102, 102, 255], dtype=torch.uint8).view(6, 1, 1, 1)
    # Sorted: 0 0 102 102 255 255 against 0 0 51 51 255 255.
    assert float(sliced_wasserstein(real, fake, seed=0)) == pytest.approx(2 * 51 / 255 / 6)


def test_validation_is_repeatable_and_ranks_a_collapsed_generator_worse(grid):
    model = build(config(), grid(1, 8, 8))
    data = pixels(100, 1, 8, 8)
    score = model.validation(data, seed=0, batch_size=8)["loss"]
    assert score == model.validation(data, seed=0, batch_size=64)["loss"]
    with torch.no_grad():
        for parameter in model.generator.parameters():
            parameter.fill_(3.0)
    assert model.validation(data, seed=0, batch_size=8)["loss"] > score
