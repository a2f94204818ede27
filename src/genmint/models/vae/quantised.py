"""VQ-VAE: latents are a grid of codes (van den Oord et al. 2017; Razavi et al. 2019).

The encoder computes a vector for each position of a small grid. `codebook` replaces it by the
nearest of K codes, and the decoder gives p(x|z) for the grid z of codes. z(x) is not random, so
log p(x) ≥ log p(x|z(x)) + log p(z(x)). p(z) is a product of categorical distributions, one per
position. They are estimated by counting the codes of the training split with add-one smoothing. A
conditional model counts per class: p(x|y) = Σ_z p(x|z) p(z|y).

The terms of `bounds` apply: q(z|x) is 1 for z(x), and the KL is −log p(z(x)).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, Self

import torch
from torch import Tensor, nn

from genmint.common.errors import ConfigError
from genmint.config import VAEConfig
from genmint.data.views.spec import DataSpec
from genmint.models.shared.blocks import ROWS, in_labelled_blocks, seeded
from genmint.models.shared.family import Loss, evaluating
from genmint.models.shared.networks import Down, Residual, Up, activation, halvings, normalisation
from genmint.models.shared.noise import Noise
from genmint.models.vae.bounds import MAX_ITEMS, VariationalModel
from genmint.models.vae.codebook import Codebook

# Purpose of a seed: draws of the codes of samples.
_CODES = 8

# Number of training items from which validation estimates p(z); the saved model uses all.
_COUNTED = 4096


class QuantisedVAE(VariationalModel):
    """VAE whose latents are numbers of codes.

    `encode` writes and `decode` takes these numbers, 0…K−1 as float32, in raster order.

    Attributes:
        counts: number of training items with each code at each position, int64 G×P×K. G is the
            number of classes of a conditional model, and 1 of another.
    """

    continuous = False
    noise_width = 0
    counts: Tensor

    def __init__(self, config: VAEConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        channels, height, width = spec.shape
        sides = halvings((height, width), len(config.hidden))
        self.size = sides[-1]
        self.encoder = _encoder(config, channels)
        self.codebook = Codebook(config)
        self.decoder = _decoder(config, self.likelihood.outputs(channels), sides)
        groups = 1 if self.classes is None else len(self.classes.names)
        shape = (groups, self.latent, config.codes)
        self.register_buffer("counts", torch.zeros(shape, dtype=torch.int64))
        self._training = _Split()

    @property
    def latent(self) -> int:
        """Number of positions of the grid of codes."""
        return self.size[0] * self.size[1]

    @property
    def noise_name(self) -> str:
        """A uniform number for each position."""
        return f"u{self.latent}"

    def learns_from(self, train: Tensor, labels: Tensor | None = None) -> None:
        """Keep items from which validation estimates p(z), and the labels."""
        super().learns_from(train, labels)
        self._training = _Split(train[:_COUNTED], None if labels is None else labels[:_COUNTED])

    def loss(
        self, group: str, batch: Tensor, noise: Noise, *, fresh: bool, labels: Tensor | None = None
    ) -> Loss:
        """−log p(x|z(x)) and the weighted commitment loss, mean over the batch, in nats."""
        x = self.likelihood.observe(batch, noise)
        grid, numbers, reconstruction, distance = self._pass(x)
        self.codebook.note(grid, numbers, noise)
        commitment = self.config.commitment * distance
        loss = commitment - reconstruction
        return Loss(
            loss,
            {
                "loss": loss.detach(),
                "reconstruction": reconstruction.detach(),
                "commitment": commitment.detach(),
            },
        )

    def end(self, step: int, mean: Callable[[Tensor], Tensor]) -> None:
        """Move the codes towards the vectors of the step."""
        self.codebook.update(mean)

    def compile(self) -> None:
        """Compile networks, quantisation and likelihood together."""
        self._pass = torch.compile(self._pass, dynamic=False)  # type: ignore[method-assign]

    def validation(
        self, data: Tensor, *, seed: int, batch_size: int, labels: Tensor | None = None
    ) -> dict[str, float]:
        """Means over `data` in nats; `kl` is −log p(z), from at most 4,096 training items."""
        if self._training.items is not None:
            self.finish(self._training.items, self._training.labels)
        return super().validation(data, seed=seed, batch_size=batch_size, labels=labels)

    def finish(self, train: Tensor, labels: Tensor | None = None) -> None:
        """Count the codes of the training split."""
        self.counts.zero_()
        place = torch.arange(self.latent, device=self.counts.device)
        for numbers, of in self._numbered(train, labels):
            one = torch.ones((), dtype=torch.int64, device=numbers.device)
            group = torch.zeros_like(numbers[:, :1]) if of is None else of[:, None]
            self.counts.index_put_((group, place, numbers), one, accumulate=True)

    def health(self, data: Tensor, *, seed: int, labels: Tensor | None = None) -> dict[str, float]:
        """Use of the codebook by at most 2,048 items.

        `codes_used` is the share of codes in use. `code_perplexity` is the exponential of the
        entropy of the codes at all positions, 1 to K: the number of equally frequent codes with
        that entropy.
        """
        uses = self._uses(data[:MAX_ITEMS])
        share = uses / uses.sum()
        entropy = -torch.special.xlogy(share, share).sum()
        return {
            "codes_used": float((uses > 0).double().mean()),
            "code_perplexity": float(entropy.exp()),
        }

    def active_units(
        self, data: Tensor, *, batch_size: int = 256, labels: Tensor | None = None
    ) -> int:
        """Number of codes that `data` use."""
        return int((self._uses(data) > 0).sum())

    def latent_kl(self, data: Tensor, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Code length −log p(z) of each position in nats, mean over the items, float64 `latent`."""
        total = torch.zeros(self.latent, dtype=torch.float64)
        with evaluating(self):
            prior = self._prior()
            for numbers, of in self._numbered(data, labels):
                total += self._lengths(numbers, of, prior).double().sum(0).cpu()
        return total / len(data)

    def encode(
        self, data: Tensor, *, batch_size: int = 256, labels: Tensor | None = None
    ) -> Tensor:
        """Numbers of the codes of uint8 N×C×H×W, as float32 N×`latent`; labels have no effect."""
        return torch.cat([numbers.cpu() for numbers, _ in self._numbered(data, None)]).float()

    def decode(self, z: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """Means of p(x|z), uint8 N×C×H×W, for numbers of codes, N×`latent`; labels have no effect.

        Raises:
            ConfigError: a value is not a whole number below the number of codes.
        """
        numbers = z.long()
        if not bool(((numbers == z) & (numbers >= 0) & (numbers < self.config.codes)).all()):
            raise ConfigError(
                f"latents: this model has codes, whole numbers 0…{self.config.codes - 1}; give "
                "those that encode returns"
            )
        return super().decode(numbers)

    def sample(
        self,
        n: int,
        *,
        seed: int,
        batch_size: int = 256,
        length: int | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Means of p(x|z) for n draws of p(z), uint8 n×C×H×W; `length` is not used."""
        labels = self.labels_of(n, seed, labels)
        noise_of = seeded(seed, _CODES)
        blocks = range(math.ceil(n / ROWS))
        shape = (ROWS, self.latent, 1)
        levels = [torch.rand(shape, generator=noise_of, dtype=torch.float64) for _ in blocks]
        numbers = []
        upto = self._prior().double().exp().cumsum(2).cpu()
        for first, level in zip(range(0, n, ROWS), levels, strict=True):
            of = torch.zeros(ROWS, dtype=torch.int64)
            if labels is not None:
                rows = torch.arange(first, first + ROWS).clamp_(max=n - 1)
                of = labels.cpu()[rows]
            cumulative = upto[of]
            level = level * cumulative[..., -1:]
            drawn = torch.searchsorted(cumulative, level, right=True)[..., 0]
            numbers.append(drawn.clamp_(max=self.config.codes - 1))
        return self.decode(torch.cat(numbers)[:n])

    def _pass(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Vectors and numbers of observed x; means of log p(x|z(x)) and of the distances."""
        grid = self.encoder(self.likelihood.encoded(x))
        codes = self.codebook(grid)
        log_prob = self.likelihood.log_prob(self.decoder(codes.vectors).float(), x)
        return grid, codes.numbers, log_prob.mean(), codes.distance.mean()

    def _prior(self) -> Tensor:
        """Log-probabilities log p(z), float32 G×P×K, with add-one smoothing."""
        smoothed = (self.counts + 1).double()
        return (smoothed / smoothed.sum(2, keepdim=True)).log().float()

    def _lengths(self, numbers: Tensor, labels: Tensor | None, prior: Tensor) -> Tensor:
        """Code lengths −log p(z) of int64 N×P codes in nats, N×P."""
        group = torch.zeros_like(numbers[:, :1]) if labels is None else labels[:, None]
        return -prior[group, torch.arange(self.latent, device=numbers.device), numbers]

    def _inferred(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """Numbers of the codes of observed x, int64 N×P."""
        numbers: Tensor = self.codebook(self.encoder(self.likelihood.encoded(x))).numbers
        return numbers

    def _scored(
        self, x: Tensor, labels: Tensor | None, q: Tensor, noise: Tensor, prior: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Terms of the KL are the positions."""
        log_prob = self.likelihood.log_prob(self._decoded(q, labels), x)
        return log_prob, self._lengths(q, labels, prior)

    def _log_weights(
        self, x: Tensor, labels: Tensor | None, q: Tensor, noise: Tensor, prior: Tensor
    ) -> tuple[Tensor, Tensor]:
        """All draws are the same."""
        log_prob, lengths = self._scored(x, labels, q, noise, prior)
        return log_prob.expand(len(noise), -1), -lengths.sum(1).expand(len(noise), -1)

    def _widest(self) -> int:
        # All draws of an item are decoded as one.
        return 1

    def _decoded(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """For int64 N×P codes; labels have no effect."""
        parameters: Tensor = self.decoder(self.codebook.vectors(z, self.size))
        return parameters.float()

    def _numbered(
        self, data: Tensor, labels: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Codes of the items, block by block, int64 B×P on the device, and their labels."""
        with evaluating(self):
            for rows, block, of in in_labelled_blocks(data, labels, self.device, self.pass_rows):
                count = rows.stop - rows.start
                numbers = self._inferred(block.to(torch.float32) / 255, None)[:count]
                yield numbers, None if of is None else of[:count]

    def _uses(self, data: Tensor) -> Tensor:
        """Number of positions of all items that have each code, float64 K."""
        uses = torch.zeros(self.config.codes, dtype=torch.float64)
        for numbers, _ in self._numbered(data, None):
            uses += numbers.flatten().cpu().bincount(minlength=self.config.codes)
        return uses


class _Split:
    """Items of the training split, which copies of a model share."""

    def __init__(self, items: Tensor | None = None, labels: Tensor | None = None) -> None:
        self.items = items
        self.labels = labels

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def _encoder(config: VAEConfig, channels: int) -> nn.Sequential:
    """From N×C×H×W to the vectors N×`code_width`×h×w; a residual block at each resolution."""
    act, norm = config.activation, config.norm
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(itertools.pairwise([channels, *config.hidden])):
        layers.append(Down(before, after))
        if i > 0:
            layers += normalisation(norm, after, grid=True)
        layers += [Residual(after, act, norm), activation(act)]
    return nn.Sequential(*layers, nn.Conv2d(config.hidden[-1], config.code_width, 1))


def _decoder(config: VAEConfig, outputs: int, sides: list[tuple[int, int]]) -> nn.Sequential:
    """From codes N×`code_width`×h×w to N×outputs×H×W: the mirror of the encoder."""
    act, norm = config.activation, config.norm
    widths = list(reversed(config.hidden))
    layers: list[nn.Module] = [nn.Conv2d(config.code_width, widths[0], 3, padding=1)]
    for i, (before, after) in enumerate(itertools.pairwise([*widths, outputs])):
        layers += normalisation(norm, before, grid=True)
        layers += [Residual(before, act, norm), activation(act), Up(before, after, sides[-2 - i])]
    return nn.Sequential(*layers)
