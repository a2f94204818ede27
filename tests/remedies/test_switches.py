"""No remedy without a test that it does what its paper says, and that fails without it."""

import re
from pathlib import Path

import pytest

from genmint.config import GANConfig, RNNConfig, VAEConfig

# What is no remedy: sizes, the data, the loop, and the plain forms of each family.
LOOP = [
    "family",
    "dataset",
    "seed",
    "seeds",
    "steps",
    "batch_size",
    "accumulate",
    "validate_every",
    "patience",
    "ema",
    "ema_schedule",
    "recovery",
    "precision",
    "compile",
    "channels_last",
]
PLAIN = {
    VAEConfig: [
        "network",
        "hierarchy",
        "codes",
        "code_width",
        "codebook_decay",
        "commitment",
        "hidden",
        "latent",
        "beta",
        "pseudo_inputs",
        "likelihood",
        "mixtures",
        "activation",
        "optimiser",
    ],
    GANConfig: [
        "network",
        "hidden",
        "blocks",
        "group_width",
        "latent",
        "loss",
        "discriminator_steps",
        "generator",
        "discriminator",
    ],
    RNNConfig: [
        "cell",
        "hidden",
        "layers",
        "embedding",
        "context",
        "bptt",
        "dropout",
        "optimiser",
        "sampling",
    ],
}
# Values and keys within those that are remedies all the same.
WITHIN = {
    "gan.discriminator",
    "gan.discriminator.beta2_schedule",
    "gan.discriminator_steps",
    "gan.ema_schedule",
    "gan.loss",
    "gan.network",
    "gan.penalty.weight_schedule",
    "rnn.sampling.temperature",
    "rnn.sampling.top_k",
    "rnn.sampling.top_p",
    "vae.likelihood",
    "vae.network",
    "vae.optimiser.skip_norm",
    "vae.optimiser.weight_decay",
}


def marked():
    found = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        found |= set(re.findall(r"mark\.switch\(\"([\w.]+)\"\)", path.read_text()))
    return found


def switches():
    found = set(WITHIN)
    for config, plain in PLAIN.items():
        family = config.__name__.removesuffix("Config").lower()
        found |= {f"{family}.{key}" for key in config.model_fields if key not in {*LOOP, *plain}}
    return found


@pytest.mark.parametrize("switch", sorted(switches()))
def test_every_switch_has_a_test(switch):
    assert switch in marked()


def test_every_test_is_of_a_switch_that_there_is():
    assert marked() <= switches()
