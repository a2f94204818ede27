"""Hierarchical VAE with latents at every resolution (Child 2021; Vahdat and Kautz 2020).

p(x, z) = p(x|z) Π_g p(z_g|z_<g) and q(z|x) = Π_g q(z_g|z_<g, x), with normal distributions for each
group g of latents. `hierarchy` has the networks, `bounds` training and evaluation.

Outside of training, latents are given in standard deviations from the mean of their prior:
ε_g = (z_g − μ_p(z_<g)) / σ_p(z_<g). They are N(0, I) under the model, so they can be drawn, kept
and exchanged level by level. A latent without information on an item is 0, although z_g itself
varies with the groups above.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from genmint.common.errors import ConfigError
from genmint.config import VAEConfig
from genmint.config.base import first_problem
from genmint.config.models import LatentSampling
from genmint.data.views.spec import DataSpec
from genmint.models.shared.blocks import (
    in_labelled_blocks,
    prior_blocks,
)
from genmint.models.shared.family import evaluating
from genmint.models.vae.bounds import MAX_ITEMS
from genmint.models.vae.continuous import ContinuousModel
from genmint.models.vae.hierarchy import BottomUp, GroupDraw, Layout, TopDown
from genmint.models.vae.latent_mixture import mixture_of
from genmint.models.vae.latents import ACTIVE_VARIANCE


class HierarchicalVAE(ContinuousModel):
    """VAE with groups of latents at several resolutions."""

    def __init__(self, config: VAEConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        channels, height, width = spec.shape
        self.layout = Layout(config.hierarchy, (height, width))
        classes = 0 if self.classes is None else len(self.classes.names)
        self.encoder = BottomUp(self.layout, channels, config.activation, classes)
        outputs = self.likelihood.outputs(channels)
        self.decoder = TopDown(self.layout, outputs, config.activation, classes)
        self.noise_width = self.latent
        self.mixture = mixture_of(config, self.layout.ends[0], self.classes)

    @property
    def latent(self) -> int:
        """Number of latents of all groups."""
        return self.layout.ends[-1]

    @property
    def levels(self) -> tuple[int, ...]:
        """Numbers of latents down to each resolution that has groups, coarsest first."""
        return tuple(sorted(set(self.layout.ends)))

    def encode(
        self, data: Tensor, *, batch_size: int = 256, labels: Tensor | None = None
    ) -> Tensor:
        """Standardised posterior means, float32 N×`latent`, of uint8 N×C×H×W; coarsest group first.

        Each group is that of the posterior means of the groups above.
        """
        return torch.cat([means.cpu() for means in self._means(data, labels)])

    def sample(
        self,
        n: int,
        *,
        seed: int,
        batch_size: int = 256,
        length: int | None = None,
        labels: Tensor | None = None,
        temperature: float | Sequence[float] | None = None,
    ) -> Tensor:
        """Means of p(x|z) for n draws of the prior, uint8 n×C×H×W; `length` is not used.

        With a `mixture` the coarsest group is drawn from it, and the other groups from the prior.
        `temperature` replaces the model entry's; see `genmint.config.models.LatentSampling`.
        """
        labels, parts = self.labels_of(n, seed, labels), []
        scale = self._temperatures(temperature)
        with evaluating(self):
            for rows, noise in self._noise_blocks(n, seed):
                shown = None if labels is None else _padded(labels[rows], len(noise))
                count = rows.stop - rows.start
                for taken, z, of in in_labelled_blocks(noise, shown, self.device, self.pass_rows):
                    if taken.start < count:
                        stop = min(taken.stop, count) - taken.start
                        parts.append(self._shown(self._mixed_in(z, scale, of), of)[:stop].cpu())
        return torch.cat(parts)

    def sampling_arguments(self, n: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """The option `temperature`, one number for all levels."""
        others = {key: value for key, value in options.items() if key != "temperature"}
        if others:
            return super().sampling_arguments(n, others)
        try:
            valid = LatentSampling.model_validate(dict(options))
        except ValidationError as error:
            raise ConfigError(f"temperature: {first_problem(error)[1].lower()}") from None
        return dict.fromkeys(options, valid.temperature)

    def active_units(
        self, data: Tensor, *, batch_size: int = 256, labels: Tensor | None = None
    ) -> int:
        """Number of latent channels whose posterior mean varies over `data`.

        A unit is one channel of one group. It varies if the variance of its standardised posterior
        mean over the items, averaged over its positions, is above 0.01 (Burda et al. 2016, with the
        positions of a channel as one unit). The variation of the prior's mean does not count.
        """
        total = torch.zeros(self.latent, dtype=torch.float64)
        squares, items = torch.zeros_like(total), 0
        for means in self._means(data, labels):
            wide = means.double().cpu()
            total += wide.sum(0)
            squares += wide.square().sum(0)
            items += len(wide)
        variance = (squares / items - (total / items).square())[None]
        of_channels = [group.mean(dim=(2, 3)) for group in self.layout.split(variance)]
        return sum(int((channels > ACTIVE_VARIANCE).sum()) for channels in of_channels)

    def health(self, data: Tensor, *, seed: int, labels: Tensor | None = None) -> dict[str, float]:
        """KL of each group in nats, mean over at most 2,048 items, and number of active units.

        `kl.000` is that of the coarsest group. The KLs add up to the `kl` of `elbo`. A group whose
        KL is 0 has no information on the items.
        """
        shown = None if labels is None else labels[:MAX_ITEMS]
        means = self.latent_kl(data[:MAX_ITEMS], seed=seed, labels=shown)
        units = self.active_units(data[:MAX_ITEMS], labels=shown)
        groups = [float(group.sum()) for group in self.layout.split(means[None])]
        return {
            "active_units": float(units),
            **{f"kl.{number:03d}": kl for number, kl in enumerate(groups)},
        }

    def latent_kl(self, data: Tensor, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """KL of each latent from its prior in nats, mean over the items, float64 `latent`."""
        total = torch.zeros(self.latent, dtype=torch.float64)
        with evaluating(self):
            for count, _, of, features, noise in self._posteriors(data, seed, labels):
                _, draws = self.decoder(noise, features, of)
                kl = torch.cat([draw.kl().flatten(1) for draw in draws], dim=1)
                total += kl[:count].double().sum(0).cpu()
        return total / len(data)

    def _inferred(self, x: Tensor, labels: Tensor | None) -> list[Tensor]:
        features: list[Tensor] = self.encoder(self.likelihood.encoded(x), labels)
        return features

    def _scored(
        self, x: Tensor, labels: Tensor | None, q: list[Tensor], noise: Tensor, prior: None
    ) -> tuple[Tensor, Tensor]:
        """Terms of the KL are the groups."""
        parameters, draws = self.decoder(noise, q, labels)
        return self.likelihood.log_prob(parameters, x), _of_groups([d.kl() for d in draws])

    def _log_weights(
        self, x: Tensor, labels: Tensor | None, q: list[Tensor], noise: Tensor, prior: None
    ) -> tuple[Tensor, Tensor]:
        draws = len(noise)
        x, *features = (each.expand(draws, *each.shape).flatten(0, 1) for each in (x, *q))
        of = None if labels is None else labels.repeat(draws)
        parameters, groups = self.decoder(noise.flatten(0, 1), features, of)
        log_prob = self.likelihood.log_prob(parameters, x)
        log_ratio = _of_groups([group.log_ratio() for group in groups]).sum(1)
        return log_prob.view(draws, -1), log_ratio.view(draws, -1)

    def _widest(self) -> int:
        channels, height, width = self.spec.shape
        return self.latent + height * width * max(
            self.likelihood.outputs(channels), 2 * self.config.hierarchy.width
        )

    def _mixed(self, q: list[Tensor], noise: Tensor, labels: Tensor | None) -> Tensor:
        """Standardised latents of the coarsest group."""
        _, draws = self.decoder(noise, q, labels)
        group: GroupDraw = draws[0]
        return group.standardised().flatten(1)

    def _noise_blocks(self, n: int, seed: int) -> Iterator[tuple[slice, Tensor]]:
        """As `prior_blocks`, with the column of `LatentMixture.with_levels` if there is one."""
        levels = None
        if self.mixture is not None:
            levels = self.mixture.with_levels(torch.empty(n, 0), seed)
        for rows, noise in prior_blocks(n, self.latent, seed):
            if levels is not None:
                noise = torch.cat([noise, _padded(levels[rows], len(noise))], dim=1)
            yield rows, noise

    def _mixed_in(self, draws: Tensor, scale: Tensor, labels: Tensor | None) -> Tensor:
        """Standardised latents of samples, N×`latent`, for rows of `_noise_blocks`."""
        z = draws[:, : self.latent] * scale
        if self.mixture is None:
            return z
        first = self.mixture.latents
        top = self.mixture.drawn(torch.cat([z[:, :first], draws[:, -1:]], dim=1), labels)
        return torch.cat([top, z[:, first:]], dim=1)

    def _decoded(self, z: Tensor, labels: Tensor | None) -> Tensor:
        parameters: Tensor = self.decoder(z, None, labels)[0]
        return parameters

    def _means(self, data: Tensor, labels: Tensor | None) -> Iterator[Tensor]:
        """Standardised posterior means of the items, block by block, B×`latent`."""
        with evaluating(self):
            for rows, block, of in in_labelled_blocks(data, labels, self.device, self.pass_rows):
                features = self._inferred(block.to(torch.float32) / 255, of)
                at_means = features[0].new_zeros((len(block), self.latent))
                _, draws = self.decoder(at_means, features, of)
                means = torch.cat([draw.standardised().flatten(1) for draw in draws], dim=1)
                yield means[: rows.stop - rows.start]

    def _temperatures(self, value: float | Sequence[float] | None) -> Tensor:
        """Factor on the noise of each latent, float32 `latent`."""
        value = self.config.sampling.temperature if value is None else value
        levels = [value] * len(self.layout.groups) if isinstance(value, float | int) else value
        sizes = torch.tensor((0, *self.layout.ends)).diff()
        return torch.tensor(list(levels)).repeat_interleave(sizes).to(self.device)


def _of_groups(values: list[Tensor]) -> Tensor:
    """Sums over the latents of each group, N×groups."""
    return torch.stack([each.flatten(1).sum(1) for each in values], dim=1)


def _padded(values: Tensor, rows: int) -> Tensor:
    """Values N×…, with the first one repeated at the end up to `rows`."""
    return torch.cat([values, values[:1].expand(rows - len(values), *values.shape[1:])])
