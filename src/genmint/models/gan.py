"""Generative adversarial network (Goodfellow et al. 2014), fully connected or DCGAN-like.

min_G max_D E[log D(x)] + E[log(1 − D(G(z)))], with D = σ(logit), computed from logits.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from genmint.config import GANConfig, Optimiser
from genmint.data.spec import DataSpec
from genmint.errors import ConfigError
from genmint.models.blocks import in_blocks, prior, seeded, to_bytes
from genmint.models.family import Family, Loss, Turn, evaluating
from genmint.models.networks import decoder, encoder
from genmint.models.noise import Noise

_DIRECTIONS = 4

# Directions of the sliced distance: with 256 its own scatter is below a percent on small images.
_SLICES = 256
# Held-out items and samples that the choice of the best weights looks at, at most and at least.
_MAX_ITEMS, _MIN_SAMPLES = 2048, 1024
# Held-out items whose coverage is looked at while training.
_COVERED = 1024


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


def coverage(real: Tensor, fake: Tensor, neighbours: int = 5) -> float:
    """Share of real items with a sample within the distance of their k-th real neighbour.

    Coverage of Naeem et al. 2020, "Reliable fidelity and diversity metrics", here in pixels.

    Args:
        real: uint8 N×C×H×W; of a single item only its copies are near.
        fake: uint8 M×C×H×W, on the same device.
        neighbours: k; N − 1 where there are no more.

    Returns:
        0…1. Samples like the data give about 1 − 2^−k (0.97 for k = 5).
    """
    among = _squared_distances(real, real)
    # The nearest of all is the item itself.
    radius = among.kthvalue(min(neighbours, len(real) - 1) + 1, dim=1).values
    nearest = _squared_distances(real, fake).min(dim=1).values
    return float((nearest <= radius).double().mean())


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Between the rows of uint8 N×… and M×…; float64 N×M.

    Whole numbers, exact in double: what is equal is at distance 0, as `torch.cdist` has it only
    where it is twenty times as slow.
    """
    flat_a, flat_b = a.flatten(1).double(), b.flatten(1).double()
    squares = flat_a.square().sum(1)[:, None] + flat_b.square().sum(1)
    return squares - 2 * (flat_a @ flat_b.T)


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
            network, config.latent, config.hidden, spec.shape, act="relu", norm="batch"
        )
        self.discriminator = encoder(
            network,
            spec.shape,
            config.hidden,
            1,
            act="leaky-relu",
            norm="batch" if convolutional else "none",
        )
        if convolutional:
            self.apply(_dcgan_start)
        self._drawn: Tensor | None = None
        # One batch of samples serves both turns, unless memory or several turns speak against it.
        self._share = config.discriminator_steps == 1 and config.accumulate == 1

    def optimisers(self) -> dict[str, tuple[Optimiser, list[nn.Parameter]]]:
        """Two groups, `discriminator` and `generator`."""
        return {
            "discriminator": (self.config.discriminator, list(self.discriminator.parameters())),
            "generator": (self.config.generator, list(self.generator.parameters())),
        }

    def turns(self) -> tuple[Turn, ...]:
        """The discriminator's turns, each on new data, then the generator's."""
        return (Turn("discriminator"),) * self.config.discriminator_steps + (
            Turn("generator", data=False),
        )

    def loss(self, group: str, batch: Tensor, noise: Noise, *, fresh: bool) -> Loss:
        """The discriminator's loss, or after its step the generator's; in nats."""
        if group == "discriminator":
            return self._discriminator_turn(batch, noise)
        fake = self._drawn
        if fake is None:
            fake = self._generate(noise.normal(len(batch), self.config.latent))
        self._drawn = None
        # The generator's step needs no gradient of the discriminator's weights.
        self.discriminator.requires_grad_(False)
        loss = generator_loss(self._judge(fake), self.config.loss)
        self.discriminator.requires_grad_(True)
        return Loss(loss, {"generator_loss": loss.detach()})

    def compile(self) -> None:
        """Translate both networks."""
        self._generate = torch.compile(self._generate, dynamic=False)  # type: ignore[method-assign]
        self._judge = torch.compile(self._judge, dynamic=False)  # type: ignore[method-assign]

    def health(self, data: Tensor, *, seed: int) -> dict[str, float]:
        """`coverage`: the share of held-out items near a sample, see `coverage`.

        It falls where the generator leaves out modes of the data. At most 1,024 items and as many
        samples; discriminator accuracy and margin are among the losses' scalars.
        """
        real = data[:_COVERED].to(self.device)
        return {"coverage": coverage(real, self.sample(len(real), seed=seed).to(self.device))}

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

    def _discriminator_turn(self, batch: Tensor, noise: Noise) -> Loss:
        real = batch.to(torch.float32) / 127.5 - 1
        with torch.set_grad_enabled(self._share):
            fake = self._generate(noise.normal(len(batch), self.config.latent))
        self._drawn = fake if self._share else None
        on_real = self._judge(real)
        on_fake = self._judge(fake.detach())
        loss = discriminator_loss(on_real, on_fake)
        return Loss(
            loss,
            {
                "discriminator_loss": loss.detach(),
                "accuracy_real": (on_real.detach() > 0).float().mean(),
                "accuracy_fake": (on_fake.detach() < 0).float().mean(),
                # Logits: near 0 the two are balanced; where it grows the discriminator has won.
                "margin": (on_real.detach().mean() - on_fake.detach().mean()),
            },
        )

    def _generate(self, z: Tensor) -> Tensor:
        grid: Tensor = self.generator(z).float()
        return grid.tanh()

    def _judge(self, grid: Tensor) -> Tensor:
        logits: Tensor = self.discriminator(grid).float()
        return logits

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
