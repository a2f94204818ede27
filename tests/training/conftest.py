"""Small specifications and data that the loop trains on."""

import numpy as np
import pytest
import torch

from genmint.config import parse_model
from genmint.data.views.spec import DataSpec

BETAS = {"lr": 2e-3, "betas": [0.0, 0.9], "beta2_schedule": {"end": 0.99}}
R3GAN = {
    "family": "gan", "network": "r3", "hidden": [4, 8], "group_width": 4, "latent": 4,
    "loss": "relativistic", "generator": BETAS, "discriminator": BETAS,
    "penalty": {"name": "r1r2", "weight": 0.5, "weight_schedule": {"end": 0.05}},
    "ada": {"every": 2, "rise": 20, "target": 0.1},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _all_on_one_thread(one_thread):
    pass


@pytest.fixture(scope="session")
def grid():
    return DataSpec(dataset="d", kind="image", view="grid", shape=(1, 8, 8))


@pytest.fixture(scope="session")
def text():
    vocabulary = ("<unk>", "<s>", *"abcdefghijklmnopqrst")
    return DataSpec(
        dataset="d", kind="text", view="sequence", shape=(), symbols=len(vocabulary),
        vocabulary=vocabulary,
    )  # fmt: skip


@pytest.fixture(scope="session")
def clips():
    return DataSpec(
        dataset="d", kind="audio", view="sequence", shape=(24,), symbols=16, sample_rate=8000,
        samples=24,
    )  # fmt: skip


@pytest.fixture(scope="session")
def case(grid, text, clips):
    """Configuration, specification, training and validation split of a family, by name."""

    def make(name, **changes):
        rng = np.random.default_rng(7)
        common = {"dataset": "d", "steps": 12, "batch_size": 8, "validate_every": 5}
        if name in ("vae", "vae-hierarchical", "vae-vq", "gan", "r3gan"):
            # Blurred dots: something that can be learnt.
            centres = rng.uniform(1, 6, (140, 2, 1, 1))
            y, x = np.mgrid[0:8, 0:8]
            distance = (y - centres[:, :1]) ** 2 + (x - centres[:, 1:]) ** 2
            data = torch.from_numpy(np.rint(255 * np.exp(-distance / 3)).astype(np.uint8))
            block = {"family": name, "hidden": [16], "latent": 4}
            if name == "vae-hierarchical":
                hierarchy = {"groups": [1, 0, 2], "width": 6, "channels": 2}
                block = {"family": "vae", "network": "hierarchical", "hierarchy": hierarchy}
            if name == "vae-vq":
                block = {"family": "vae", "network": "vq", "hidden": [6], "codes": 12,
                         "code_width": 3, "codebook_decay": 0.9, "restart_codes": 0.5}  # fmt: skip
            block = R3GAN if name == "r3gan" else block
            spec = grid
        elif name == "rnn-stream":
            data = torch.from_numpy(np.cumsum(rng.integers(1, 3, 1400)) % 20 + 2)
            block = {"family": "rnn", "hidden": 12, "embedding": 6, "bptt": 7, "layers": 2,
                     "dropout": 0.2}  # fmt: skip
            spec = text
        else:
            ramps = np.arange(24)[None] // rng.integers(1, 4, (140, 1)) % 16
            data = torch.from_numpy(ramps.astype(np.uint8))
            block = {"family": "rnn", "cell": "gru", "hidden": 12, "embedding": 6, "bptt": 10}
            spec = clips
        config = parse_model({**common, **block, **changes})
        if config.conditional:
            spec = spec.model_copy(update={"labels": ("a", "b", "c")})
        held_out = len(data) // 7
        return config, spec, data[held_out:], data[:held_out]

    return make


@pytest.fixture(scope="session")
def labels():
    """Labels of both splits of a conditional case, as `fit` takes them; None of any other."""

    def make(config, *splits):
        if not config.conditional:
            return None
        return tuple(split.flatten(1).long().sum(1) % 3 for split in splits)

    return make
