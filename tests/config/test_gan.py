"""Which remedies of a GAN go together, and how those that do not are refused."""

import pytest

from genmint.common.errors import ConfigError
from genmint.config import parse_model

BLOCK = {"family": "gan", "dataset": "d", "steps": 10}
GP = {"name": "wgan-gp"}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"loss": "wasserstein"}, ["loss: wasserstein", "penalty: {name: wgan-gp}"]),
        ({"penalty": GP, "discriminator_norm": "batch"},
         ["penalty: wgan-gp", "discriminator_norm: batch", "layer"]),
        ({"penalty": {"name": "r1"}, "discriminator_norm": "batch"}, ["penalty: r1"]),
        ({"spectral_norm": True, "discriminator_norm": "layer"},
         ["spectral_norm", "discriminator_norm: layer"]),
        ({"pack": 3}, ["batch_size 64", "multiple of 3", "pack 3"]),
        ({"minibatch_stddev": 7}, ["batch_size 64", "minibatch_stddev 7"]),
        ({"pack": 4, "minibatch_stddev": 32}, ["multiple of 128"]),
        ({"minibatch_stddev": 1}, ["minibatch_stddev: 1"]),
        ({"label_smoothing": 0.1, "loss": "hinge"}, ["label_smoothing", "hinge"]),
        ({"label_smoothing": 0.1, "loss": "wasserstein", "spectral_norm": True}, ["wasserstein"]),
        ({"label_smoothing": 0.5}, ["label_smoothing"]),
        ({"attention": True}, ["attention", "network: dcgan or residual"]),
        ({"diffaug": ["cutout", "cutout"]}, ["diffaug", "twice"]),
        ({"diffaug": ["rotation"]}, ["diffaug"]),
        ({"penalty": {"name": "r1", "weight": 0.0}}, ["penalty.weight"]),
        ({"penalty": {"name": "r1", "every": 0}}, ["penalty.every"]),
        ({"penalty": {"name": "r1r2"}, "discriminator_norm": "batch"}, ["penalty: r1r2"]),
        ({"penalty": {"name": "r1", "weight_schedule": {"end": 1.0, "steps": 11}}},
         ["penalty.weight_schedule.steps", "at most steps, 10"]),
        ({"ema_schedule": {"end": 0.9, "steps": 11}}, ["ema_schedule.steps"]),
        ({"ema_schedule": {"end": 1.0}}, ["ema_schedule.end"]),
        ({"generator": {"lr": 1e-3, "beta2_schedule": {"end": 0.9, "steps": 11}}},
         ["generator.beta2_schedule.steps"]),
        ({"generator": {"name": "sgd", "lr": 1e-3, "beta2_schedule": {"end": 0.9}}},
         ["beta2_schedule", "sgd"]),
        ({"label_smoothing": 0.1, "loss": "relativistic"}, ["label_smoothing", "relativistic"]),
        ({"ada": {}, "diffaug": ["cutout"]}, ["ada", "diffaug"]),
        ({"ada": {"changes": []}}, ["ada.changes"]),
        ({"ada": {"target": 1.0}}, ["ada.target"]),
        ({"blocks": 3}, ["blocks", "network: r3"]),
        ({"group_width": 8, "network": "dcgan"}, ["group_width", "network: r3"]),
        ({"network": "r3", "hidden": [16, 12]}, ["hidden", "12", "group_width, 16"]),
        ({"network": "r3", "generator_norm": "batch"}, ["generator_norm", "network: r3"]),
        ({"network": "r3", "discriminator_norm": "layer"}, ["discriminator_norm"]),
        ({"network": "r3", "spectral_norm": True}, ["spectral_norm"]),
        ({"network": "r3", "attention": True}, ["attention", "network: residual"]),
        ({"network": "r3", "minibatch_stddev": 4}, ["minibatch_stddev"]),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_by_name(said, words):
    with pytest.raises(ConfigError) as caught:
        parse_model({**BLOCK, **said})
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        {"loss": "wasserstein", "penalty": GP},
        {"loss": "wasserstein", "spectral_norm": True},
        {"loss": "least-squares", "label_smoothing": 0.1},
        {"penalty": GP, "discriminator_norm": "layer", "network": "dcgan"},
        {"penalty": {"name": "r1", "every": 16}, "spectral_norm": True, "generator_norm": "batch"},
        {"pack": 4, "minibatch_stddev": 16, "attention": True, "network": "residual"},
        {"network": "r3", "blocks": 1, "group_width": 8, "hidden": [4, 8, 8], "pack": 2, "ada": {},
         "loss": "relativistic", "penalty": {"name": "r1r2"}, "generator_norm": "none"},
        {"generator": {"lr": 1e-3, "beta2_schedule": {"end": 0.9, "steps": 10}}},
    ],
)  # fmt: skip
def test_what_goes_together_is_taken(said):
    parse_model({**BLOCK, **said})


def test_r3_halves_a_grid_once_less_than_it_has_widths():
    assert parse_model({**BLOCK, "network": "r3", "hidden": [16, 32, 64]}).halvings == 2
    assert parse_model({**BLOCK, "network": "dcgan", "hidden": [16, 32, 64]}).halvings == 3


def test_a_schedule_goes_along_half_a_cosine_and_then_stays():
    config = parse_model({**BLOCK, "penalty": {"name": "r1", "weight": 5.0, "weight_schedule":
                                               {"end": 1.0, "steps": 4}}})  # fmt: skip
    weights = [config.penalty.at(step, config.steps).weight for step in range(8)]
    fall = 2 * 2**0.5 / 2
    assert weights == pytest.approx([5, 3 + fall, 3, 3 - fall, 1, 1, 1, 1])
    whole = parse_model({**BLOCK, "generator": {"lr": 1.0, "betas": [0.0, 0.9],
                                                "beta2_schedule": {"end": 0.99}}})  # fmt: skip
    betas = [whole.generator.betas_at(step, whole.steps) for step in (0, 5, 10)]
    assert betas == [(0.0, pytest.approx(value)) for value in (0.9, 0.945, 0.99)]
    assert whole.discriminator.betas_at(5, whole.steps) == whole.discriminator.betas


def test_the_average_grows_by_its_number_of_steps():
    config = parse_model({**BLOCK, "ema": 0.0, "ema_schedule": {"end": 0.9}})
    assert config.averages
    found = [config.ema_at(step) for step in (0, 5, 10)]
    # 1, 5.5 and 10 steps.
    assert found == pytest.approx([0, 1 - 1 / 5.5, 0.9])
    constant = parse_model({**BLOCK, "ema": 0.5})
    assert [constant.ema_at(step) for step in (0, 10)] == [0.5, 0.5]
    assert not parse_model(BLOCK).averages
