"""What each remedy of a GAN does, by known answers and small experiments over three seeds."""

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
from genmint.models.shared.networks import Residual, SelfAttention
from genmint.training.optimisers import Descent

SEEDS = (0, 1, 2)
FAST = {"lr": 3e-3, "betas": [0.5, 0.999]}


def judged(model, weight, bias):
    """Let the discriminator's score be weight·x + bias, of one pixel."""
    model.discriminator = nn.Sequential(nn.Flatten(), nn.Linear(1, 1))
    with torch.no_grad():
        model.discriminator[1].weight.fill_(weight)
        model.discriminator[1].bias.fill_(bias)


def scalars(model, real, fake, batches=50, seed=99):
    """Mean of the discriminator's scalars over new batches."""
    source = noise(seed)
    model._generate = lambda z: fake(source)
    found = [
        model.loss("discriminator", to_bytes(real(source)), source, fresh=True).scalars
        for _ in range(batches)
    ]
    return {key: float(torch.stack([one[key] for one in found]).mean()) for key in found[0]}


# --- losses


def pull(model, score):
    """How the generator's loss pulls at samples that all have one score."""
    judged(model, 1.0, score)
    fake = torch.zeros(4, 1, 1, 1, requires_grad=True)
    model._drawn = fake
    model.loss("generator", torch.zeros(4, 1, 1, 1), noise(), fresh=True).value.backward()
    return float(fake.grad.abs().sum())


@pytest.mark.switch("gan.loss")
def test_least_squares_pull_samples_that_pass_for_data_but_lie_far_away(block):
    """Mao et al. 2017, section 3.1: by as much as they are away from the label."""
    model = made(block("gan", loss="least-squares"), 1, 1, 1)
    assert pull(model, 9.0) == pytest.approx(8)
    assert pull(model, 1.0) == pytest.approx(0)


@pytest.mark.switch("gan.loss")
def test_hinge_ignores_items_classified_by_the_margin(block):
    model = made(block("gan", loss="hinge", batch_size=4), 1, 1, 1)
    for weight, moves in ((1.1, False), (0.9, True)):
        model.zero_grad(set_to_none=True)
        judged(model, weight, 0.0)
        model._generate = lambda z: -torch.ones(4, 1, 1, 1)
        real = torch.full((4, 1, 1, 1), 255, dtype=torch.uint8)
        model.loss("discriminator", real, noise(), fresh=True).value.backward()
        assert (float(model.discriminator[1].weight.grad.abs()) > 0) == moves


@pytest.mark.switch("gan.loss")
def test_wasserstein_pulls_with_the_critics_slope_wherever_samples_are(block):
    """Arjovsky et al. 2017, figure 2: no gradient vanishes, however sure the critic is."""
    model = made(block("gan", loss="wasserstein", spectral_norm=True), 1, 1, 1)
    for score in (-20.0, 0.0, 20.0):
        assert pull(model, score) == pytest.approx(1)


# --- what bounds the slope


def near(place):
    """A draw of 32 points of two pixels around ±`place`."""

    def draw(source):
        return place + 0.1 * source.normal(32, 1, 1, 2)

    return draw


def steepest(model):
    """Slopes at points between the two sets of `near`: mean and largest."""
    found = slopes(model.discriminator, noise(5).uniform(500, 1, 1, 1).expand(-1, 1, 1, 2) - 0.5)
    return float(found.detach().mean()), float(found.detach().max())


@pytest.mark.switch("gan.penalty")
@pytest.mark.parametrize("seed", SEEDS)
def test_wgan_gp_drives_the_slope_between_data_and_samples_to_1(block, seed):
    """Gulrajani et al. 2017, section 4."""
    config = block("gan", penalty={"name": "wgan-gp"}, hidden=[64, 64], discriminator=FAST)
    model = train_discriminator(made(config, 1, 1, 2, seed=seed), near(0.5), near(-0.5))
    assert steepest(model)[0] == pytest.approx(1, abs=0.15)


@pytest.mark.switch("gan.penalty")
@pytest.mark.parametrize("seed", SEEDS)
def test_r1_lets_the_dirac_gan_converge(block, seed):
    """Mescheder et al. 2018, section 2: a point is to reach 0, and the judge is a line through 0.

    Without a penalty the two circle around their equilibrium for ever (lemma 2.4); with it they
    reach it (theorem 4.1).
    """
    config = block("gan", penalty={"name": "r1", "weight": 1.0}, batch_size=2)
    assert distance_of_dirac_gan(config, seed) < 0.05


@pytest.mark.switch("gan.spectral_norm")
@pytest.mark.parametrize("seed", SEEDS)
def test_spectral_normalisation_keeps_the_slope_at_1_or_below(block, seed):
    """Miyato et al. 2018, equation 6: the product of the layers' norms bounds it."""
    config = block("gan", spectral_norm=True, hidden=[64, 64], discriminator=FAST)
    model = train_discriminator(made(config, 1, 1, 2, seed=seed), near(0.5), near(-0.5))
    mean, largest = steepest(model)
    assert largest < 1.02
    assert mean > 0.3


# --- what looks at several samples


def diverse(source):
    return source.normal(32, 1, 1, 2) / 3


def collapsed(source):
    """One and the same sample, another in each batch: each by itself is like the data."""
    return source.normal(1, 1, 1, 2).expand(32, 1, 1, 2) / 3


def finds_out_a_collapse(config, seed):
    model = train_discriminator(made(config, 1, 1, 2, seed=seed), diverse, collapsed, 400)
    found = scalars(model, diverse, collapsed)
    return (found["accuracy_real"] + found["accuracy_fake"]) / 2


@pytest.mark.switch("gan.pack")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_packed_discriminator_finds_out_a_generator_that_repeats_itself(block, seed):
    """Lin et al. 2018, section 2: single samples cannot tell that modes are missing, packs can."""
    config = block("gan", pack=4, batch_size=32, hidden=[64, 64], discriminator=FAST)
    assert finds_out_a_collapse(config, seed) > 0.8


@pytest.mark.switch("gan.minibatch_stddev")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_minibatchs_deviation_finds_out_a_generator_that_repeats_itself(block, seed):
    """Karras et al. 2018, section 3."""
    config = block("gan", minibatch_stddev=4, batch_size=32, hidden=[64, 64], discriminator=FAST)
    assert finds_out_a_collapse(config, seed) > 0.8


# --- what keeps the discriminator from being too sure


@pytest.mark.switch("gan.label_smoothing")
@pytest.mark.parametrize("seed", SEEDS)
def test_smoothed_labels_keep_the_discriminator_from_certainty(block, seed):
    """Salimans et al. 2016, section 3.4: of what is surely data it says 1 − s, not 1."""
    config = block("gan", label_smoothing=0.1, hidden=[64, 64], discriminator=FAST)
    model = train_discriminator(made(config, 1, 1, 2, seed=seed), near(0.5), near(-0.5))
    with torch.no_grad():
        said = model.discriminator(near(0.5)(noise(7))).sigmoid()
    assert float(said.mean()) == pytest.approx(0.9, abs=0.03)


def dots(source, n):
    """Blurred dots on 12×12 pixels, float −1…1."""
    centres = 2 + 7 * source.uniform(n, 2, 1, 1)
    rows = torch.arange(12.0)[None, :, None]
    columns = torch.arange(12.0)[None, None, :]
    squares = (rows - centres[:, 0]) ** 2 + (columns - centres[:, 1]) ** 2
    return 2 * torch.exp(-squares / 3)[:, None] - 1


@pytest.mark.switch("gan.diffaug")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_discriminator_memorises_few_items_unless_they_are_augmented(block, seed):
    """Zhao et al. 2020, figure 1: where samples are as good as data, all it could learn is which.

    It is the scores of data it has not seen that tell.
    """
    config = block("gan", diffaug=["colour", "translation", "cutout"], hidden=[64, 64],
                   batch_size=32, discriminator=FAST)  # fmt: skip
    few = dots(noise(100 + seed), 32)
    model = made(config, 1, 12, 12, seed=seed)
    train_discriminator(model, lambda source: few, lambda source: dots(source, 32), 800)
    with torch.no_grad():
        scores = model.discriminator(few), model.discriminator(dots(noise(7), 500))
    assert float(scores[0].mean() - scores[1].mean()) < 1.0


# --- how the two keep step


def discriminators_loss(config, seed):
    """After three steps of a training whose generator hardly moves."""
    model = made(config, 1, 1, 2, seed=seed)
    source = noise(seed)
    descents = {
        group: Descent(settings, parameters, 3)
        for group, (settings, parameters) in model.optimisers().items()
    }
    model._generate = lambda z: near(-0.5)(source) + 0 * model.generator[0].weight.sum()
    for step in range(3):
        for phase in model.phases():
            descents[phase.group].clear()
            loss = model.loss(phase.group, to_bytes(near(0.5)(source)), source, fresh=True)
            loss.value.backward()
            descents[phase.group].step(step)
    return scalars(model, near(0.5), near(-0.5))["discriminator_loss"]


@pytest.mark.switch("gan.discriminator_steps")
@pytest.mark.parametrize("seed", SEEDS)
def test_more_steps_bring_the_discriminator_nearer_to_its_best(block, seed):
    """Goodfellow et al. 2014, algorithm 1, k steps; Arjovsky et al. 2017, algorithm 1, n_critic."""
    few = discriminators_loss(block("gan"), seed)
    assert discriminators_loss(block("gan", discriminator_steps=5), seed) < 0.9 * few


@pytest.mark.switch("gan.discriminator")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_faster_rate_brings_the_discriminator_nearer_to_its_best(block, seed):
    """Heusel et al. 2017, section 2: on two time scales the judge is at its best for the slower."""
    slow = discriminators_loss(block("gan"), seed)
    assert discriminators_loss(block("gan", discriminator={"lr": 1e-3}), seed) < 0.9 * slow


# --- networks


@pytest.mark.switch("gan.network")
def test_residual_networks_have_a_block_at_each_size_that_learns(block):
    """He et al. 2016."""
    model = made(block("gan", network="residual", hidden=[8, 8]), 1, 8, 8)
    for network in (model.generator, model.discriminator):
        assert sum(isinstance(module, Residual) for module in network.modules()) == 2
    for phase in model.phases():
        model.zero_grad(set_to_none=True)
        data = to_bytes(noise().normal(64, 1, 8, 8))
        model.loss(phase.group, data, noise(), fresh=True).value.backward()
        for module in getattr(model, phase.group).modules():
            if isinstance(module, Residual):
                assert module.body[-1].weight.grad.abs().sum() > 0


@pytest.mark.switch("gan.attention")
def test_attention_lets_far_places_of_a_sample_agree(block):
    """Zhang et al. 2019: in both networks; a corner sees the other one from its first layers on."""
    model = made(block("gan", network="dcgan", attention=True, hidden=[8, 8, 8]), 1, 32, 32)
    found = [module for module in model.modules() if isinstance(module, SelfAttention)]
    assert len(found) == 2
    inner = model.discriminator[: list(model.discriminator).index(found[1]) + 1].eval()
    with torch.no_grad():
        found[1].gamma.fill_(1.0)
    grid = torch.zeros(1, 1, 32, 32, requires_grad=True)
    (reached,) = torch.autograd.grad(inner(grid)[0, :, 0, 0].sum(), grid)
    assert reached[0, 0, -4:, -4:].abs().sum() > 0


def rest_matters(network, rows):
    """Whether the first row's result depends on the other rows, while training."""
    other = torch.cat([rows[:1], rows[1:] * 3])
    with torch.no_grad():
        return not torch.allclose(network(rows)[0], network(other)[0], atol=1e-5)


@pytest.mark.switch("gan.generator_norm")
@pytest.mark.parametrize("norm", ["none", "group", "layer"])
def test_a_sample_depends_on_its_noise_alone_without_batch_normalisation(block, norm):
    model = made(block("gan", generator_norm=norm), 1, 8, 8)
    assert not rest_matters(model.generator, noise().normal(8, 64))


@pytest.mark.switch("gan.discriminator_norm")
@pytest.mark.parametrize("norm", ["none", "group", "layer"])
def test_a_score_is_of_one_item_alone_without_batch_normalisation(block, norm):
    """Gulrajani et al. 2017, section 4: a penalty on each item's slope needs that."""
    model = made(block("gan", network="dcgan", discriminator_norm=norm, hidden=[8, 8]), 1, 8, 8)
    assert not rest_matters(model.discriminator, noise().normal(8, 1, 8, 8))
