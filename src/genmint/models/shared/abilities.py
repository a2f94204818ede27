"""Optional interfaces of a family besides training and sampling: decode, encode, read.

A family with one of these abilities derives from the class here instead of `Family`. Callers use
`Family.as_decoder`, `as_encoder` and `as_reader`, and never check which family a model is.
"""

from __future__ import annotations

import abc
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from genmint.models.shared.family import Family


class Decoder(Family):
    """A family of grids whose samples are decoded from latent vectors.

    Attributes:
        continuous: whether the latents are real numbers with prior N(0, I), so that they can be
            drawn, changed and interpolated. If not, they are numbers of codes, 0, 1, …
        on_a_sphere: interpolate between latents along the sphere instead of linearly. A straight
            line passes near the origin, where N(0, I) has almost no mass (White 2016).
    """

    continuous: ClassVar[bool] = True
    on_a_sphere: ClassVar[bool]

    @property
    def as_decoder(self) -> Self:
        """The model itself."""
        return self

    @property
    @abc.abstractmethod
    def latent(self) -> int:
        """Number of latents that `decode` takes."""

    @property
    def noise_name(self) -> str:
        """Identifier of noise with this number of dimensions."""
        return f"z{self.latent}"

    @abc.abstractmethod
    def decode(self, z: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """Decode latents without noise.

        Args:
            z: float32 N×`latent`.
            labels: int64 N, for a conditional model.

        Returns:
            uint8 N×C×H×W, on the CPU.
        """


class Encoder(Decoder):
    """A family that also encodes items as latents.

    Its `health` has `kl.NNN`, numbered from 000: the information on an item in nats of each latent,
    or of each group of latents if `latent_kl` is overridden.

    Attributes:
        encoder: the network that reads an item, with its attention layers.
    """

    encoder: nn.Module

    @property
    def as_encoder(self) -> Self:
        """The model itself."""
        return self

    @property
    def levels(self) -> tuple[int, ...]:
        """Numbers of latents down to each level, coarsest first; the last is `latent`.

        A level can be drawn from N(0, I) while those before it are kept. One level by default.
        """
        return (self.latent,)

    def latent_kl(self, data: Tensor, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Information of each latent of `decode` on an item in nats, float64 `latent`.

        Args:
            data: uint8 N×C×H×W; the result is the mean over the items.
            seed: of draws and of the binarisation.
            labels: int64 N, for a conditional model.
        """
        signals = self.health(data, seed=seed, labels=labels)
        kls = [signals[f"kl.{latent:03d}"] for latent in range(self.latent)]
        return torch.tensor(kls, dtype=torch.float64)

    @abc.abstractmethod
    def encode(
        self, data: Tensor, *, batch_size: int = 256, labels: Tensor | None = None
    ) -> Tensor:
        """Latents of items.

        Args:
            data: uint8 N×C×H×W.
            batch_size: does not affect the result.
            labels: int64 N, for a conditional model.

        Returns:
            float32 N×L on the CPU. The first `latent` of them are the input of `decode`.
        """

    def reconstruct(self, data: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """Encode and decode items, uint8 N×C×H×W; the result has the same shape and type."""
        z = self.encode(data, labels=labels)[:, : self.latent]
        return self.decode(z, labels=labels)


class Reader(Family):
    """A family that reads and generates text symbol by symbol.

    Every family that supports text derives from it. `as_reader` is the model itself only if the
    model is of text.
    """

    @property
    def as_reader(self) -> Self | None:
        """The model itself if it is of text, else None."""
        return self if self.spec.kind == "text" else None

    @abc.abstractmethod
    def read(self, symbols: Tensor) -> None:
        """Run one pass over int64 T symbols; attention layers attend to the symbols before."""

    @abc.abstractmethod
    def nats(self, data: Tensor, *, batch_size: int = 256, labels: Tensor | None = None) -> Tensor:
        """Negative log-likelihood of int64 T symbols except the first; float64 T−1, in nats."""

    @abc.abstractmethod
    def go_on(self, prompt: Tensor, *, seed: int, length: int) -> Tensor:
        """Continue each prompt.

        Args:
            prompt: int64 N×P, P ≥ 1.
            seed: of the draws.
            length: number of symbols to generate after each prompt.

        Returns:
            int64 N×`length`, without the prompts.
        """
