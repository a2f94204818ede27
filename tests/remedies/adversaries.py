"""GANs of one or two pixels, and the training runs that the tests of their remedies make."""

import torch
from torch import nn

from genmint.data.views.spec import DataSpec
from genmint.models.shared.noise import Noise
from genmint.models.shared.store import build
from genmint.training.optimisers import Descent


def spec(*shape):
    return DataSpec(dataset="d", kind="image", view="grid", shape=shape)


def made(config, *shape, seed=0):
    return build(config.model_copy(update={"seed": seed}), spec(*shape)).train()


def noise(seed=0):
    return Noise(torch.Generator().manual_seed(seed))


def to_bytes(unit):
    """Floats −1…1 to bytes."""
    return ((unit + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def train_discriminator(model, real, fake, steps=300, seed=0, watch=None):
    """Descend the discriminator's loss alone, on batches that `real` and `fake` draw."""
    source = noise(seed)
    settings, parameters = model.optimisers()["discriminator"]
    descent = Descent(settings, parameters, steps)
    model._generate = lambda z: fake(source)
    for step in range(steps):
        descent.clear()
        loss = model.loss("discriminator", to_bytes(real(source)), source, fresh=True)
        descent.backward(loss.value)
        descent.step(step)
        model.end(step, lambda mine: mine)
        if watch is not None:
            watch(step)
    return model


def distance_of_dirac_gan(config, seed):
    """Distance from the equilibrium after 400 steps of the Dirac-GAN (Mescheder et al. 2018).

    A point is to reach 0, and the judge is a line through 0.
    """
    model = made(config, 1, 1, 1)
    model.discriminator = nn.Sequential(nn.Flatten(), nn.Linear(1, 1, bias=False))
    slope = model.discriminator[1].weight
    place = nn.Parameter(torch.tensor(0.6 + 0.2 * seed))
    with torch.no_grad():
        slope.fill_(1.0 - 0.5 * seed)
    model._generate = lambda z: place.expand(2, 1, 1, 1)
    grey = torch.full((2, 1, 1, 1), 128, dtype=torch.uint8)
    for _ in range(400):
        for group, parameter in (("discriminator", slope), ("generator", place)):
            slope.grad = place.grad = None
            model.loss(group, grey, noise(), fresh=True).value.backward()
            with torch.no_grad():
                parameter -= 0.1 * parameter.grad
    return abs(float(place.detach())) + abs(float(slope.detach()))
