"""The models that are timed, and data of their shape; what pixels show does not change a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genmint.config import ModelConfig, parse_model
from genmint.data.views.spec import DataSpec

_ITEMS = 12_800
_SYMBOLS = 65
_TEXT = 1_000_000

IMAGES = DataSpec(dataset="images", kind="image", view="grid", shape=(1, 28, 28))
CHARACTERS = DataSpec(
    dataset="text",
    kind="text",
    view="sequence",
    shape=(),
    symbols=_SYMBOLS,
    vocabulary=("<unk>", "<s>", *(chr(0x100 + i) for i in range(_SYMBOLS - 2))),
)
CLIPS = DataSpec(
    dataset="clips",
    kind="audio",
    view="sequence",
    shape=(8000,),
    symbols=256,
    sample_rate=8000,
    samples=8000,
)

_ADAM = {"name": "adam", "lr": 1e-3}
_DCGAN = {"name": "adam", "lr": 2e-4, "betas": [0.5, 0.999]}
_COMMON = {"dataset": "d", "steps": 1_000_000, "validate_every": 1000}

BLOCKS = {
    "vae": {
        "family": "vae",
        "hidden": [512],
        "latent": 16,
        "batch_size": 128,
        "optimiser": _ADAM,
    },
    "residual-vae": {
        "family": "vae",
        "network": "residual",
        "hidden": [32, 64],
        "latent": 16,
        "batch_size": 64,
        "optimiser": _ADAM,
    },
    "dcgan": {
        "family": "gan",
        "network": "dcgan",
        "hidden": [64, 128],
        "latent": 64,
        "batch_size": 64,
        "generator": _DCGAN,
        "discriminator": _DCGAN,
    },
    "lstm": {
        "family": "rnn",
        "cell": "lstm",
        "hidden": 256,
        "layers": 2,
        "embedding": 64,
        "bptt": 64,
        "batch_size": 64,
        "optimiser": _ADAM,
    },
    "audio": {"family": "rnn", "cell": "lstm", "hidden": 128, "embedding": 32},
}
SPECS = {"lstm": CHARACTERS, "audio": CLIPS}


def config(name: str) -> ModelConfig:
    """The block of one case."""
    return parse_model({**_COMMON, **BLOCKS[name]})


def spec(name: str) -> DataSpec:
    """What its data are like."""
    return SPECS.get(name, IMAGES)


def data(name: str) -> Tensor:
    """Training data: uint8 images, a fifth of their pixels lit as in handwriting; or a stream."""
    rng = np.random.default_rng(0)
    if name == "lstm":
        return torch.from_numpy(rng.integers(2, _SYMBOLS, _TEXT))
    lit = rng.random((_ITEMS, 1, 28, 28)) < 0.2
    return torch.from_numpy((lit * rng.integers(1, 256, lit.shape)).astype(np.uint8))
