"""What R3GAN (Huang et al. 2024) and adaptive augmentation (Karras et al. 2020) do for a GAN."""

import math

import pytest
import torch
from tests.remedies.adversaries import (
    distance_of_dirac_gan,
    made,
    noise,
    to_bytes,
    train_discriminator,
)
from torch import nn

from genmint.models.gan.adversarial import slopes
from genmint.models.gan.r3 import GroupedResidual
from genmint.training.optimisers import Descent
from genmint.training.stepper import Stepper

SEEDS = (0, 1, 2)
FAST = {"lr": 3e-3, "betas": [0.5, 0.999]}


# --- loss and penalty


@pytest.mark.switch("gan.loss")
def test_the_relativistic_loss_pulls_a_sample_by_its_difference_to_an_item(block):
    """Jolicoeur-Martineau 2019, section 3: wherever the two are, by σ(real − fake)."""
    model = made(block("gan", loss="relativistic", batch_size=4), 1, 1, 1)
    for offset in (-20.0, 0.0, 20.0):
        model.discriminator = nn.Sequential(nn.Flatten(), nn.Linear(1, 1))
        nn.init.ones_(model.discriminator[1].weight)
        nn.init.constant_(model.discriminator[1].bias, offset)
        model._drawn = fake = torch.zeros(4, 1, 1, 1, requires_grad=True)
        white = torch.full((4, 1, 1, 1), 255, dtype=torch.uint8)
        model.loss("generator", white, noise(), fresh=True).value.backward()
        assert float(-fake.grad.sum()) == pytest.approx(1 / (1 + math.exp(-1)))


def near(place):
    """A draw of 32 points of two pixels around ±`place`."""

    def draw(source):
        return place + 0.1 * source.normal(32, 1, 1, 2)

    return draw


@pytest.mark.switch("gan.penalty")
@pytest.mark.parametrize("seed", SEEDS)
def test_r1_and_r2_flatten_the_discriminator_at_data_and_at_samples(block, seed):
    """Mescheder et al. 2018, section 4.1; the two are told apart all the same."""
    config = block("gan", hidden=[64, 64], discriminator=FAST, loss="relativistic",
                   penalty={"name": "r1r2", "weight": 1.0})  # fmt: skip
    model = train_discriminator(made(config, 1, 1, 2, seed=seed), near(0.5), near(-0.5))
    real, fake = near(0.5)(noise(9)), near(-0.5)(noise(9))
    for points in (real, fake):
        assert float(slopes(model.discriminator, points).detach().mean()) < 0.5
    with torch.no_grad():
        margin = model.discriminator(real).mean() - model.discriminator(fake).mean()
    assert float(margin) > 0.3


@pytest.mark.switch("gan.penalty")
@pytest.mark.parametrize("seed", SEEDS)
def test_r1_and_r2_let_the_relativistic_dirac_gan_converge(block, seed):
    """Huang et al. 2024, section 2: without a penalty the two circle around each other for ever."""
    config = block("gan", loss="relativistic", batch_size=2,
                   penalty={"name": "r1r2", "weight": 0.5})  # fmt: skip
    assert distance_of_dirac_gan(config, seed) < 0.05


# --- network


@pytest.mark.switch("gan.network")
def test_r3_has_blocks_without_normalisation_at_each_size_that_learn(block):
    """Huang et al. 2024, section 3."""
    config = block("gan", network="r3", hidden=[16, 16], batch_size=8)
    stepper = Stepper(made(config, 1, 8, 8), config, to_bytes(noise().normal(64, 1, 8, 8)), "fp32")
    for network in (stepper.model.generator, stepper.model.discriminator):
        found = [module for module in network.modules() if isinstance(module, GroupedResidual)]
        assert len(found) == 4
        assert not any("Norm" in type(module).__name__ for module in network.modules())
    before = {key: value.clone() for key, value in stepper.model.named_parameters()}
    for step in range(2):
        stepper.step(step)
    assert not any(torch.equal(before[k], v) for k, v in stepper.model.named_parameters())


# --- schedules


@pytest.mark.switch("gan.penalty.weight_schedule")
def test_the_weight_of_the_penalty_falls(block):
    penalty = {"name": "r1r2", "weight": 8.0, "weight_schedule": {"end": 2.0, "steps": 8}}
    model = made(block("gan", penalty=penalty, batch_size=8), 1, 1, 2)
    grey, paid = torch.full((8, 1, 1, 2), 128, dtype=torch.uint8), []
    for step in (0, 4, 8):
        model.begin(step)
        loss = model.loss("discriminator", grey, noise(), fresh=True)
        paid.append(float(loss.value.detach() - loss.scalars["discriminator_loss"]))
    assert [one / paid[0] for one in paid] == pytest.approx([1, 5 / 8, 2 / 8], rel=1e-3)


@pytest.mark.switch("gan.discriminator.beta2_schedule")
def test_the_second_beta_rises(block):
    """Kingma and Ba 2015, algorithm 1, with β₂ of the step; the first one is 0."""
    rates = {"lr": 0.1, "betas": [0.0, 0.5], "beta2_schedule": {"end": 0.9}}
    weight, square = nn.Parameter(torch.zeros(1)), 0.0
    descent = Descent(block("gan", discriminator=rates).discriminator, [weight], 4)
    for step, gradient in enumerate((1.0, 0.1, 2.0, 0.3, 0.2)):
        share = (1 - math.cos(math.pi * step / 4)) / 2
        beta = 0.5 + 0.4 * share
        square = beta * square + (1 - beta) * gradient**2
        wanted = float(weight.detach())
        wanted -= 0.1 * gradient / (math.sqrt(square / (1 - beta ** (step + 1))) + 1e-8)
        weight.grad = torch.tensor([gradient])
        descent.step(step)
        assert float(weight.detach()) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.switch("gan.ema_schedule")
def test_the_average_is_over_more_and_more_steps(block):
    """In step 0 over none, at the end over four."""
    config = block("gan", hidden=[4], batch_size=8, steps=4, ema=0.5, ema_schedule={"end": 0.75})
    stepper = Stepper(made(config, 1, 1, 2), config, to_bytes(near(0.5)(noise())), "fp32")
    average = None
    for step in range(6):
        stepper.step(step)
        weight = stepper.model.generator[0].weight.detach()
        share = (1 - math.cos(math.pi * min(step, 4) / 4)) / 2
        decay = 1 - 1 / (2 + 2 * share)
        average = weight.clone() if average is None else decay * average + (1 - decay) * weight
        torch.testing.assert_close(stepper.judged.generator[0].weight.detach(), average)


# --- augmentation


def dots(source, n):
    """Blurred dots on 12×12 pixels, float −1…1."""
    centres = 2 + 7 * source.uniform(n, 2, 1, 1)
    rows = torch.arange(12.0)[None, :, None]
    columns = torch.arange(12.0)[None, None, :]
    squares = (rows - centres[:, 0]) ** 2 + (columns - centres[:, 1]) ** 2
    return 2 * torch.exp(-squares / 3)[:, None] - 1


@pytest.mark.switch("gan.ada")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_discriminator_memorises_few_items_unless_they_are_augmented_enough(block, seed):
    """Karras et al. 2020, figures 1 and 5: p rises for 32 items, and stays near 0 for thousands.

    Samples are as good as data, so that all it could learn is which items it has seen.
    """
    config = block("gan", hidden=[64, 64], batch_size=32, discriminator=FAST,
                   ada={"every": 1, "rise": 200, "target": 0.3})  # fmt: skip

    def watch(step):
        if model.ada is not None and step >= 400:
            seen.append(float(model.ada.p))

    def fresh(source):
        return dots(source, 32)

    few, seen = dots(noise(100 + seed), 32), []
    model = made(config, 1, 12, 12, seed=seed)
    train_discriminator(model, lambda source: few, fresh, 800, watch=watch)
    with torch.no_grad():
        scores = model.discriminator(few), model.discriminator(dots(noise(7), 500))
    assert float(scores[0].mean() - scores[1].mean()) < 1.0
    assert sum(seen) / len(seen) > 0.05
    model = made(config, 1, 12, 12, seed=seed)
    train_discriminator(model, fresh, fresh, 200)
    assert float(model.ada.p) < 0.05
