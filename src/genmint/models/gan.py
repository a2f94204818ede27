"""Generative adversarial network (Goodfellow et al. 2014), fully connected or DCGAN-like.

min_G max_D E[log D(x)] + E[log(1 − D(G(z)))], with D = σ(logit), computed from logits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from genmint.config import GANConfig, Optimiser
from genmint.data.spec import DataSpec
from genmint.errors import ConfigError
from genmint.models.blocks import decoder, encoder, in_blocks, prior, seeded, to_bytes
from genmint.models.family import Family, Loss, evaluating

_DIRECTIONS = 4

# Directions of the sliced distance: with 256 its own scatter is below a percent on small images.
_SLICES = 256
# Held-out items and samples that the choice of the best weights looks at, at most and at least.
_MAX_ITEMS, _MIN_SAMPLES = 2048, 1024


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """−E[log σ(real)] − E[log(1 − σ(fake))] from logits of any shape; a scalar in nats."""
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def generator_loss(fake: Tensor, form: str) -> Tensor:
    """What the generator descends, from the logits of its samples; a scalar in nats.

    minimax: E[log(1 − σ(fake))]; non-saturating: −E[log σ(fake)], whose gradient does not vanish
    where the discriminator is sure (Goodfellow et al. 2014, section 3).
    """
    if form == "minimax":
        return -functional.softplus(fake).mean()
    return functional.softplus(-fake).mean()


def sliced_wasserstein(real: Tensor, fake: Tensor, *, seed: int) -> Tensor:
    """Sliced 1-Wasserstein distance in pixel space (Rabin et al. 2011; Bonneel et al. 2015).

    Args:
        real: uint8 n×C×H×W.
        fake: uint8 (k·n)×C×H×W.
        seed: of the 256 directions, which depend on nothing else.

    Returns:
        0-d float32: the mean over directions (unit vectors) of the distance between the projected
        sets, pixels scaled to 0…1; 0 for equal sets, lower is better.
    """
    n = len(real)
    flat_real = real.flatten(1).float() / 255
    flat_fake = fake.flatten(1).float() / 255
    directions = torch.randn(flat_real.shape[1], _SLICES, generator=seeded(seed, _DIRECTIONS))
    directions = (directions / directions.norm(dim=0)).to(real.device)
    projected_real = (flat_real @ directions).sort(dim=0).values
    projected_fake = (flat_fake @ directions).sort(dim=0).values
    repeated = projected_real.repeat_interleave(len(fake) // n, dim=0)
    distance: Tensor = (repeated - projected_fake).abs().mean()
    return distance


class GAN(Family):
    """A generator from Gaussian noise to a grid, and the discriminator that teaches it."""

    view = "grid"

    def __init__(self, config: GANConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.spec = spec
        convolutional = config.network == "dcgan"
        if convolutional and min(spec.shape[1:]) < 8:
            raise ConfigError(
                f"network: dcgan needs a height and a width of 8 or more, and {spec.dataset} has "
                f"{spec.shape[1]}×{spec.shape[2]}: use network: mlp"
            )
        network = "conv" if convolutional else "mlp"
        self.generator = decoder(
            network, config.latent, config.hidden, spec.shape, act="relu", norm=True
        )
        self.discriminator = encoder(
            network, spec.shape, config.hidden, 1, act="leaky-relu", norm=convolutional
        )
        if convolutional:
            self.apply(_dcgan_start)

    def optimisers(self) -> dict[str, tuple[Optimiser, list[nn.Parameter]]]:
        """Two groups, `discriminator` and `generator`."""
        return {
            "discriminator": (self.config.discriminator, list(self.discriminator.parameters())),
            "generator": (self.config.generator, list(self.generator.parameters())),
        }

    def losses(self, batch: Tensor, generator: torch.Generator, *, fresh: bool) -> Iterator[Loss]:
        """Yield the discriminator's loss and, after its step, the generator's; in nats."""
        real = batch.to(torch.float32) / 127.5 - 1
        z = torch.randn(
            len(batch), self.config.latent, generator=generator, device=generator.device
        )
        fake = self.generator(z).float().tanh()
        on_real = self.discriminator(real).float()
        on_fake = self.discriminator(fake.detach()).float()
        loss = discriminator_loss(on_real, on_fake)
        yield Loss(
            "discriminator",
            loss,
            {
                "discriminator_loss": loss.detach(),
                "accuracy_real": (on_real.detach() > 0).float().mean(),
                "accuracy_fake": (on_fake.detach() < 0).float().mean(),
            },
        )
        # The generator's step needs no gradient of the discriminator's weights.
        self.discriminator.requires_grad_(False)
        loss = generator_loss(self.discriminator(fake).float(), self.config.loss)
        self.discriminator.requires_grad_(True)
        yield Loss("generator", loss, {"generator_loss": loss.detach()})

    def validation(self, data: Tensor, *, seed: int, batch_size: int) -> dict[str, float]:
        """`loss` is the sliced Wasserstein distance between samples and `data`.

        It looks at pixels only, at the first 2,048 items, with the same noise and directions each
        time, so that it ranks the weights of one run; evaluate measures what a gate may use.
        """
        real = data[:_MAX_ITEMS].cpu()
        fake = self.sample(
            len(real) * math.ceil(_MIN_SAMPLES / len(real)), seed=seed, batch_size=batch_size
        )
        return {"loss": float(sliced_wasserstein(real, fake, seed=seed))}

    def sample(
        self, n: int, *, seed: int, batch_size: int = 256, length: int | None = None
    ) -> Tensor:
        """Generate from n draws of N(0, I); uint8 n×C×H×W. `length` has no meaning here."""
        parts = []
        with evaluating(self):
            for rows, block in in_blocks(prior(n, self.config.latent, seed), self.device):
                unit = self.generator(block).float().tanh() * 0.5 + 0.5
                parts.append(to_bytes(unit[: rows.stop - rows.start]).cpu())
        return torch.cat(parts)


def _dcgan_start(module: nn.Module) -> None:
    """Start weights at N(0, 0.02), gains at N(1, 0.02) (Radford et al. 2016)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
