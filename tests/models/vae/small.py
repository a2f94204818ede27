"""A small VAE and its items."""

import math

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


def check_training_and_use(model):
    """One step, samples, latents and scores have their shapes, and every value is finite."""
    shape = model.spec.shape
    data = pixels(5, *shape)
    model.loss("vae", data, noise(), fresh=True).value.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    samples = model.sample(3, seed=0)
    assert (samples.shape, samples.dtype) == ((3, *shape), torch.uint8)
    z = model.encode(data)
    assert (z.shape, z.dtype) == ((5, model.latent), torch.float32)
    scores = {**model.validation(data, seed=0, batch_size=2), **model.health(data, seed=0)}
    assert all(math.isfinite(value) for value in scores.values())
