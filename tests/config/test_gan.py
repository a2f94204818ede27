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
    ],
)
def test_what_goes_together_is_taken(said):
    parse_model({**BLOCK, **said})
