"""A small VAE and its items."""

import torch

from genmint.config import VAEConfig
from genmint.models.shared.noise import Noise


def config(**changes):
    block = {"family": "vae", "dataset": "d", "steps": 1, "hidden": (12, 8), "latent": 3}
    return VAEConfig(**{**block, **changes})


def pixels(n, *shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, *shape), generator=generator, dtype=torch.uint8)


def noise(seed=0):
    return Noise(torch.Generator().manual_seed(seed))
