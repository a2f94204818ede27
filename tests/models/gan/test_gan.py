import math

import pytest
import torch

from genmint.common.errors import ConfigError
from genmint.config import GANConfig
from genmint.config.models import Ada, Penalty
from genmint.models.gan.adversarial import generator_loss
from genmint.models.gan.distances import coverage
from genmint.models.shared.noise import Noise
from genmint.models.shared.store import build


def config(**changes):
    block = {"family": "gan", "dataset": "d", "steps": 1, "hidden": (12, 8), "latent": 4}
    return GANConfig(**{**block, **changes})


def pixels(n, *shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, *shape), generator=generator, dtype=torch.uint8)


def noise(seed=0):
    return Noise(torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("form", ["minimax", "non-saturating"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"discriminator_steps": 2},
        {"accumulate": 2},
        {"penalty": Penalty(name="r1")},
        {"loss": "relativistic", "penalty": Penalty(name="r1r2"), "ada": Ada()},
    ],
)
def test_each_optimizer_phase_changes_its_own_network_only(grid, form, changes):
    model = build(config(**{"loss": form, **changes}), grid(1, 8, 8))
    source, seen = noise(), []
    for phase in model.phases():
        model.zero_grad(set_to_none=True)
        model.loss(phase.group, pixels(16, 1, 8, 8), source, fresh=True).value.backward()
        with_gradient = {
            name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None
        }
        seen.append((phase.group, with_gradient))
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
    assert [(phase.group, phase.data) for phase in model.phases()] == [
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
    for phase in model.phases():
        model.loss(phase.group, pixels(16, 1, 8, 8), source, fresh=True)
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


@pytest.mark.parametrize("network", ["mlp", "dcgan", "residual", "r3"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 14), (1, 28, 28), (1, 32, 33)])
def test_any_shape(grid, network, shape):
    more = {"group_width": 4} if network == "r3" else {}
    model = build(config(network=network, **more), grid(*shape))
    data = pixels(6, *shape)
    for phase in model.phases():
        model.loss(phase.group, data, noise(), fresh=True).value.backward()
    samples = model.sample(3, seed=0)
    assert samples.shape == (3, *shape)
    assert samples.dtype == torch.uint8


EVERYTHING = {
    "loss": "hinge",
    "penalty": Penalty(name="r1"),
    "spectral_norm": True,
    "attention": True,
    "pack": 2,
    "minibatch_stddev": 3,
    "batch_size": 6,
    "diffaug": ("colour", "translation", "cutout"),
}


@pytest.mark.parametrize("network", ["dcgan", "residual"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 14)])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_any_shape_with_every_remedy(grid, network, shape, precision):
    model = build(config(network=network, **EVERYTHING), grid(*shape))
    data = pixels(6, *shape)
    for phase in model.phases():
        model.zero_grad(set_to_none=True)
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            loss = model.loss(phase.group, data, noise(), fresh=True).value
        loss.backward()
        for name, parameter in model.named_parameters():
            if name.startswith(phase.group):
                assert torch.isfinite(parameter.grad).all(), name
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    assert model.sample(3, seed=0).shape == (3, *shape)


R3 = {
    "network": "r3",
    "hidden": (4, 8),
    "group_width": 4,
    "loss": "relativistic",
    "penalty": Penalty(name="r1r2", weight=0.1),
    "ada": Ada(),
    "pack": 2,
    "batch_size": 6,
}


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 14)])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_any_shape_with_all_of_r3gan(grid, shape, precision, layout):
    model = build(config(**R3), grid(*shape)).to(memory_format=layout)
    model.ada.p.fill_(0.5)
    for phase in model.phases():
        model.zero_grad(set_to_none=True)
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            loss = model.loss(phase.group, pixels(6, *shape), noise(), fresh=True).value
        loss.backward()
        for name, parameter in model.named_parameters():
            if name.startswith(phase.group):
                assert torch.isfinite(parameter.grad).all(), name
    assert model.sample(3, seed=0).shape == (3, *shape)


def test_the_relativistic_generator_is_compared_with_the_batch(grid):
    model = build(config(loss="relativistic"), grid(1, 8, 8))
    batch = pixels(16, 1, 8, 8)
    loss = model.loss("generator", batch, noise(), fresh=True).value
    fake = model.generator(noise().normal(16, 4)).tanh()
    real = model.discriminator(batch / 127.5 - 1)
    expected = torch.nn.functional.softplus(real - model.discriminator(fake)).mean()
    torch.testing.assert_close(loss, expected)


def test_the_penalty_of_a_step_has_the_weight_of_its_schedule(grid):
    penalty = Penalty(name="r1r2", weight=4.0, weight_schedule={"end": 1.0, "steps": 2})
    model = build(config(penalty=penalty, steps=4), grid(1, 8, 8))
    plain = build(config(), grid(1, 8, 8))
    batch, paid = pixels(16, 1, 8, 8), []
    without = plain.loss("discriminator", batch, noise(), fresh=True).value
    for step in range(4):
        model.begin(step)
        loss = model.loss("discriminator", batch, noise(), fresh=True).value
        paid.append(float((loss - without).detach()))
    # Half a cosine: half of the way after half of the steps.
    assert [one / paid[0] for one in paid] == pytest.approx([1, 2.5 / 4, 1 / 4, 1 / 4], rel=1e-3)


def test_the_probability_of_the_augmentation_is_a_signal_and_part_of_the_weights(grid):
    model = build(config(ada=Ada(every=1, rise=10)), grid(1, 8, 8))
    model.discriminator = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1))
    data = pixels(16, 1, 8, 8)
    for bias, wanted in ((1e3, 0.1), (1e3, 0.2), (-1e3, 0.1)):
        torch.nn.init.constant_(model.discriminator[1].bias, bias)
        model.loss("discriminator", data, noise(), fresh=True)
        model.end(0, lambda mine: mine)
        assert model.health(data, seed=0)["augmentation"] == pytest.approx(wanted)
    assert float(model.state_dict()["ada.p"]) == pytest.approx(0.1)


def test_a_penalty_is_computed_in_one_step_of_so_many_and_as_many_times_as_heavy(grid):
    batch, found = pixels(16, 1, 8, 8), []
    for every in (1, 4):
        model = build(config(penalty=Penalty(name="r1", every=every)), grid(1, 8, 8))
        for step in range(6):
            model.begin(step)
            found.append(model.loss("discriminator", batch, noise(), fresh=True))
    plain = build(config(), grid(1, 8, 8)).loss("discriminator", batch, noise(), fresh=True)
    paid = [float((loss.value - plain.value).detach()) for loss in found]
    assert all(one == pytest.approx(paid[0], rel=1e-3) for one in paid[:6])
    wanted = [4 * paid[0], 0, 0, 0, 4 * paid[0], 0]
    assert paid[6:] == pytest.approx(wanted, rel=1e-3)
    assert ["slope" in loss.scalars for loss in found[6:]] == [
        True,
        False,
        False,
        False,
        True,
        False,
    ]
    # The discriminator's loss in the history is that of its scores, whatever it pays.
    assert found[0].scalars["discriminator_loss"] == plain.value


@pytest.mark.parametrize(("name", "passes"), [("wgan-gp", 3), ("r1", 2), ("r1r2", 2)])
def test_a_penalty_at_data_and_samples_needs_no_further_pass(grid, name, passes):
    model = build(config(penalty=Penalty(name=name)), grid(1, 8, 8))
    plain = build(config(), grid(1, 8, 8))
    seen = []
    model.discriminator.register_forward_pre_hook(lambda _, given: seen.append(given))
    batch = pixels(16, 1, 8, 8)
    loss = model.loss("discriminator", batch, noise(), fresh=True)
    assert len(seen) == passes
    without = plain.loss("discriminator", batch, noise(), fresh=True)
    for key, value in without.scalars.items():
        assert loss.scalars[key] == value


def test_packs_are_neighbours_in_the_batch_side_by_side_as_channels(grid):
    model = build(config(pack=3, batch_size=6), grid(2, 8, 8))
    seen = model._shown(torch.arange(6.0).view(6, 1, 1, 1).expand(6, 2, 8, 8), noise())
    assert seen.shape == (2, 6, 8, 8)
    assert seen[:, :, 0, 0].tolist() == [[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]]


def test_a_share_of_a_batch_that_cannot_be_packed_is_refused(grid):
    model = build(config(pack=4, batch_size=8), grid(1, 8, 8))
    with pytest.raises(ConfigError, match="batch_size: a process has 6 items, no multiple of 4"):
        model.loss("discriminator", pixels(6, 1, 8, 8), noise(), fresh=True)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, torch.nn.BatchNorm2d),
        ({"penalty": Penalty(name="wgan-gp")}, torch.nn.GroupNorm),
        ({"penalty": Penalty(name="r1")}, None),
        ({"penalty": Penalty(name="r1r2")}, None),
        ({"spectral_norm": True}, None),
        ({"spectral_norm": True, "penalty": Penalty(name="wgan-gp")}, None),
    ],
)
def test_what_auto_normalisation_of_a_dcgans_discriminator_is(grid, changes, kind):
    model = build(config(network="dcgan", **changes), grid(1, 8, 8))
    norms = (torch.nn.BatchNorm2d, torch.nn.GroupNorm)
    found = {type(m) for m in model.discriminator.modules() if isinstance(m, norms)}
    assert found == ({kind} if kind else set())


def test_looking_at_a_model_does_not_move_its_power_iteration(grid):
    model = build(config(spectral_norm=True), grid(1, 8, 8)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    data = pixels(100, 1, 8, 8)
    model.validation(data, seed=0, batch_size=8)
    model.health(data, seed=0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.loss("discriminator", data[:16], noise(), fresh=True)
    moved = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert any(name.endswith("_u") for name in moved)


def test_the_margin_of_a_wasserstein_critic_is_the_distance(grid):
    """Two points √2·0.8 apart: W₁ with a slope of 1, and d/2λ more for the penalty's softness."""
    model = build(
        config(
            loss="wasserstein",
            penalty=Penalty(name="wgan-gp"),
            hidden=(64, 64),
        ),
        grid(1, 1, 2),
    )
    model._generate = lambda z: torch.full((16, 1, 1, 2), -0.4)
    real = torch.full((16, 1, 1, 2), 179, dtype=torch.uint8)
    distance = 2**0.5 * (179 / 127.5 - 1 + 0.4)
    descent = torch.optim.Adam(model.discriminator.parameters(), lr=3e-3, betas=(0.5, 0.9))
    source = noise()
    for _ in range(300):
        descent.zero_grad()
        loss = model.loss("discriminator", real, source, fresh=True)
        loss.value.backward()
        descent.step()
    expected = distance * (1 + distance / 20)
    assert float(loss.scalars["margin"]) == pytest.approx(expected, rel=0.05)
    assert float(loss.scalars["accuracy_real"]) == 1


def test_convolutions_refuse_a_grid_below_eight(grid):
    for network in ("dcgan", "residual", "r3"):
        with pytest.raises(ConfigError, match=f"{network} needs a height and a width of 8"):
            build(config(network=network, hidden=(8, 8)), grid(1, 7, 8))


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


def test_validation_is_repeatable_and_ranks_a_collapsed_generator_worse(grid):
    model = build(config(), grid(1, 8, 8))
    data = pixels(100, 1, 8, 8)
    score = model.validation(data, seed=0, batch_size=8)["loss"]
    assert score == model.validation(data, seed=0, batch_size=64)["loss"]
    with torch.no_grad():
        for parameter in model.generator.parameters():
            parameter.fill_(3.0)
    assert model.validation(data, seed=0, batch_size=8)["loss"] > score


def test_health_is_the_coverage_of_the_models_samples(grid):
    model = build(config(), grid(1, 8, 8)).train()
    data = pixels(100, 1, 8, 8)
    assert model.health(data, seed=3) == {"coverage": coverage(data, model.sample(100, seed=3))}
    # As if the generator had learnt the data by heart.
    assert model.health(model.sample(100, seed=3), seed=3) == {"coverage": 1}
    assert model.training
    for few in (1, 2):
        assert 0 <= model.health(data[:few], seed=0)["coverage"] <= 1
