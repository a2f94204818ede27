import math

import pytest
import torch

from genmint.config import GANConfig
from genmint.errors import ConfigError
from genmint.models.gan import coverage, discriminator_loss, generator_loss, sliced_wasserstein
from genmint.models.noise import Noise
from genmint.models.store import build


def config(**changes):
    block = {"family": "gan", "dataset": "d", "steps": 1, "hidden": (12, 8), "latent": 4}
    return GANConfig(**{**block, **changes})


def pixels(n, *shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, *shape), generator=generator, dtype=torch.uint8)


def noise(seed=0):
    return Noise(torch.Generator().manual_seed(seed))


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
@pytest.mark.parametrize("changes", [{}, {"discriminator_steps": 2}, {"accumulate": 2}])
def test_each_turn_moves_its_own_network_only(grid, form, changes):
    model = build(config(loss=form, **changes), grid(1, 8, 8))
    source, seen = noise(), []
    for turn in model.turns():
        model.zero_grad(set_to_none=True)
        model.loss(turn.group, pixels(16, 1, 8, 8), source, fresh=True).value.backward()
        with_gradient = {
            name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None
        }
        seen.append((turn.group, with_gradient))
    discriminators = changes.get("discriminator_steps", 1)
    assert seen == [
        *[("discriminator", {"discriminator"})] * discriminators,
        ("generator", {"generator"}),
    ]
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("steps", [1, 2])
def test_the_generator_sees_the_discriminator_after_its_step(grid, steps):
    model = build(config(discriminator_steps=steps), grid(1, 8, 8))
    source = noise()
    model.loss("discriminator", pixels(16, 1, 8, 8), source, fresh=True)
    with torch.no_grad():
        for parameter in model.discriminator.parameters():
            parameter.zero_()
    loss = model.loss("generator", pixels(16, 1, 8, 8), source, fresh=True)
    # A discriminator of zeros says 0 to everything: −log σ(0) = log 2.
    assert float(loss.value.detach()) == pytest.approx(math.log(2))


def test_only_the_discriminator_asks_for_new_data(grid):
    model = build(config(discriminator_steps=3), grid(1, 8, 8))
    assert [(turn.group, turn.data) for turn in model.turns()] == [
        *[("discriminator", True)] * 3,
        ("generator", False),
    ]


class Counted(Noise):
    def __init__(self):
        super().__init__(torch.Generator().manual_seed(0))
        self.draws = 0

    def normal(self, rows, *shape):
        self.draws += 1
        return super().normal(rows, *shape)


@pytest.mark.parametrize(
    ("changes", "draws"), [({}, 1), ({"discriminator_steps": 2}, 3), ({"accumulate": 2}, 2)]
)
def test_one_batch_of_samples_serves_both_turns_where_each_has_one(grid, changes, draws):
    model = build(config(**changes), grid(1, 8, 8))
    source = Counted()
    for turn in model.turns():
        model.loss(turn.group, pixels(16, 1, 8, 8), source, fresh=True)
    assert source.draws == draws


def test_a_generator_without_samples_of_the_turn_before_draws_its_own(grid):
    model = build(config(), grid(1, 8, 8))
    batch = pixels(16, 1, 8, 8)
    loss = model.loss("generator", batch, noise(), fresh=True).value
    fake = model.generator(noise().normal(16, 4)).tanh()
    torch.testing.assert_close(loss, generator_loss(model.discriminator(fake), "non-saturating"))
    # Samples serve once: after a whole step the next is as if there had been none.
    model.loss("discriminator", batch, noise(1), fresh=True)
    model.loss("generator", batch, noise(1), fresh=True)
    again = model.loss("generator", batch, noise(), fresh=True).value
    torch.testing.assert_close(again, loss)


def test_the_discriminator_reports_how_sure_it_is(grid):
    model = build(config(), grid(1, 8, 8))
    model.generator = torch.nn.Unflatten(1, (1, 2, 2))
    model.discriminator = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1))
    with torch.no_grad():
        model.discriminator[1].weight.fill_(1.0)
        model.discriminator[1].bias.zero_()
    real = torch.tensor([[255] * 4, [255] * 4, [255] * 4, [0] * 4], dtype=torch.uint8)
    said = model.loss("discriminator", real.view(4, 1, 2, 2), noise(), fresh=True).scalars
    fake = noise().normal(4, 4).tanh().sum(1)
    assert float(said["accuracy_real"]) == 0.75
    assert float(said["accuracy_fake"]) == float((fake < 0).float().mean())
    assert float(said["margin"]) == pytest.approx((3 * 4 - 4) / 4 - float(fake.mean()), rel=1e-5)


@pytest.mark.parametrize("network", ["mlp", "dcgan"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 14), (1, 28, 28), (1, 32, 33)])
def test_any_shape(grid, network, shape):
    model = build(config(network=network), grid(*shape))
    data = pixels(6, *shape)
    for turn in model.turns():
        model.loss(turn.group, data, noise(), fresh=True).value.backward()
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


def modes(k=8, of=16):
    """k far corners of a small cube of pixels, with `of` different items around each."""
    corners = torch.cartesian_prod(*[torch.tensor([20, 220])] * 3)[:k]
    around = pixels(k * of, 3).long() % 12
    return (corners.repeat_interleave(of, dim=0) + around).to(torch.uint8).view(-1, 3, 1, 1)


def test_coverage_of_the_data_itself_is_one():
    real = modes()
    assert coverage(real, real) == 1
    assert coverage(real, real[torch.randperm(len(real))]) == 1


@pytest.mark.parametrize("found", [1, 3, 8])
def test_coverage_is_the_share_of_the_modes_that_are_found(found):
    real = modes()
    assert coverage(real, real[: 16 * found].repeat(3, 1, 1, 1)) == found / 8


def test_coverage_of_samples_like_the_data_is_that_of_the_paper():
    real, fake = pixels(1000, 4, 1, 1, seed=1), pixels(1000, 4, 1, 1, seed=2)
    for k in (1, 3, 5):
        assert coverage(real, fake, neighbours=k) == pytest.approx(1 - 2**-k, abs=0.05)


def test_coverage_knows_duplicates_for_what_they_are():
    """Where the nearest are equal, a distance of rounding instead of 0 would decide."""
    real = pixels(20, 3, 16, 16).repeat_interleave(10, dim=0)
    assert coverage(real, real[::10]) == 1
    assert coverage(real, real[::20]) == 0.5


def test_coverage_of_few_items():
    one = pixels(1, 1, 4, 4)
    assert coverage(one, one) == 1
    assert coverage(one, 255 - one) == 0
    # The neighbour of each is the other, so that either is near both.
    two = pixels(2, 1, 4, 4)
    assert coverage(two, two[:1]) == 1


def test_health_is_the_coverage_of_the_models_samples(grid):
    model = build(config(), grid(1, 8, 8)).train()
    data = pixels(100, 1, 8, 8)
    assert model.health(data, seed=3) == {"coverage": coverage(data, model.sample(100, seed=3))}
    # As if the generator had learnt the data by heart.
    assert model.health(model.sample(100, seed=3), seed=3) == {"coverage": 1}
    assert model.training
    for few in (1, 2):
        assert 0 <= model.health(data[:few], seed=0)["coverage"] <= 1
