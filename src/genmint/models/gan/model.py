"""Generative adversarial network (Goodfellow et al. 2014), fully connected or convolutional.

min_G max_D E[log D(x)] + E[log(1 − D(G(z)))], with D = σ(logit), computed from logits. Other
losses and gradient penalties are in `adversarial`, and the networks of R3GAN in `r3`. A
conditional generator gets the label together with its noise (Mirza and Osindero 2014). A
conditional discriminator is that of `projection`. The samples of a training step have the labels
of its data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from genmint.common.errors import ConfigError
from genmint.config import GANConfig, Optimiser
from genmint.data.views.spec import DataSpec
from genmint.models.gan.ada import AdaptiveAugmentation
from genmint.models.gan.adversarial import accuracies, discriminator_loss, generator_loss, penalise
from genmint.models.gan.diffaug import augment
from genmint.models.gan.distances import coverage, sliced_wasserstein
from genmint.models.gan.projection import Projection
from genmint.models.gan.r3 import r3_discriminator, r3_generator
from genmint.models.shared.abilities import Decoder
from genmint.models.shared.blocks import in_labelled_blocks, prior, to_bytes
from genmint.models.shared.conditioning import classes_of, with_label
from genmint.models.shared.family import Loss, OptimizerPhase, evaluating
from genmint.models.shared.networks import Norm, decoder, encoder, spectral
from genmint.models.shared.noise import Noise

# Type of both networks in `shared.networks`, by `network` of the model entry; r3 is not among them.
_NETWORKS = {"mlp": "mlp", "dcgan": "conv", "residual": "residual"}

# Maximum number of held-out items and minimum number of samples for choosing the best weights.
_MAX_ITEMS, _MIN_SAMPLES = 2048, 1024
# Maximum number of held-out items for coverage during training.
_COVERED = 1024


class GAN(Decoder):
    """A generator from Gaussian noise to a grid, and its discriminator."""

    on_a_sphere = True
    config: GANConfig

    def __init__(self, config: GANConfig, spec: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.spec = spec
        if config.network != "mlp" and min(spec.shape[1:]) < 8:
            raise ConfigError(
                f"network: {config.network} needs a height and a width of 8 or more, and "
                f"{spec.dataset} has {spec.shape[1]}×{spec.shape[2]}: use network: mlp"
            )
        self.classes = classes_of(config, spec)
        count = 0 if self.classes is None else len(self.classes.names)
        self.generator = _generator(config, config.latent + count, spec.shape)
        packed = (spec.shape[0] * config.pack, *spec.shape[1:])
        network = _discriminator(config, packed)
        self.discriminator: nn.Module = Projection(network, count) if count else network
        if config.network == "dcgan":
            self.apply(_dcgan_start)
        if config.spectral_norm:
            spectral(self.discriminator)
        self.ada = None if config.ada is None else AdaptiveAugmentation(config.ada)
        self._drawn: Tensor | None = None
        # Both optimizer phases use the same batch of samples, except with several discriminator
        # phases or with gradient accumulation, where it would take too much memory.
        self._share = config.discriminator_steps == 1 and config.accumulate == 1
        self._penalty = config.penalty
        self._penalised = config.penalty.name != "none"

    @property
    def latent(self) -> int:
        """Dimensions of the noise."""
        return self.config.latent

    def optimisers(self) -> dict[str, tuple[Optimiser, list[nn.Parameter]]]:
        """Two groups, `discriminator` and `generator`."""
        return {
            "discriminator": (self.config.discriminator, list(self.discriminator.parameters())),
            "generator": (self.config.generator, list(self.generator.parameters())),
        }

    def begin(self, step: int) -> None:
        """Set the penalty's weight, and enable it in every `every`-th step, starting at step 0."""
        self._penalty = self.config.penalty.at(step, self.config.steps)
        self._penalised = self._penalty.name != "none" and step % self._penalty.every == 0

    def end(self, step: int, mean: Callable[[Tensor], Tensor]) -> None:
        """Adjust the probability of the adaptive augmentation."""
        if self.ada is not None:
            self.ada.adjust(step, mean)

    def phases(self) -> tuple[OptimizerPhase, ...]:
        """Optimizer phases: the discriminator's, each on new data, then the generator's."""
        return (OptimizerPhase("discriminator"),) * self.config.discriminator_steps + (
            OptimizerPhase("generator", data=False),
        )

    def loss(
        self, group: str, batch: Tensor, noise: Noise, *, fresh: bool, labels: Tensor | None = None
    ) -> Loss:
        """Loss of the discriminator, or after its step that of the generator.

        Raises:
            ConfigError: the batch of this process is not a multiple of the items judged together.
        """
        if group == "discriminator":
            return self._discriminator_phase(batch, noise, labels)
        fake = self._drawn
        if fake is None:
            fake = self._generate(self._generator_input(noise, len(batch), labels))
        self._drawn = None
        # The generator's step needs no gradient of the discriminator's weights.
        self.discriminator.requires_grad_(False)
        on_fake = self._judge(self._shown(fake, noise), labels)
        on_real = None
        if self.config.loss == "relativistic":
            on_real = self._judge(self._shown(_unit(batch), noise), labels)
        loss = generator_loss(on_fake, self.config.loss, on_real)
        self.discriminator.requires_grad_(True)
        return Loss(loss, {"generator_loss": loss.detach()})

    def compile(self) -> None:
        """Compile both networks."""
        self._generate = torch.compile(self._generate, dynamic=False)  # type: ignore[method-assign]
        self._judge = torch.compile(self._judge, dynamic=False)  # type: ignore[method-assign]

    def health(self, data: Tensor, *, seed: int, labels: Tensor | None = None) -> dict[str, float]:
        """`coverage`: share of held-out items that are near a sample, see `coverage`.

        It falls if the generator drops modes of the data. It uses at most 1,024 items and as many
        samples. Discriminator accuracy and margin are among the scalars of the losses.
        `augmentation`, with `ada`: probability of each of its changes.
        """
        real = data[:_COVERED].to(self.device)
        sample_labels = None if labels is None else labels[:_COVERED]
        fake = self.sample(len(real), seed=seed, labels=sample_labels)
        signals = {"coverage": coverage(real, fake.to(self.device))}
        return signals if self.ada is None else signals | {"augmentation": float(self.ada.p)}

    def validation(
        self, data: Tensor, *, seed: int, batch_size: int, labels: Tensor | None = None
    ) -> dict[str, float]:
        """`loss` is the sliced Wasserstein distance between samples and `data`.

        It compares pixels of the first 2,048 items, with the same noise and directions each time.
        It is only meant to rank the weights of one training run. The gate uses metrics of the
        evaluate stage. For a conditional model it is the mean over `data` of the distance within
        each item's class.
        """
        real = data[:_MAX_ITEMS].cpu()
        times = math.ceil(_MIN_SAMPLES / len(real))
        sample_labels = None if labels is None else labels[:_MAX_ITEMS].cpu().repeat(times)
        fake = self.sample(
            len(real) * times, seed=seed, batch_size=batch_size, labels=sample_labels
        )
        if sample_labels is None:
            return {"loss": float(sliced_wasserstein(real, fake, seed=seed))}
        of_real = sample_labels[: len(real)]
        distances = [
            (of_real == one).sum()
            * sliced_wasserstein(real[of_real == one], fake[sample_labels == one], seed=seed)
            for one in of_real.unique()
        ]
        return {"loss": float(torch.stack(distances).sum() / len(real))}

    def _discriminator_phase(self, batch: Tensor, noise: Noise, labels: Tensor | None) -> Loss:
        real = _unit(batch)
        with torch.set_grad_enabled(self._share):
            fake = self._generate(self._generator_input(noise, len(batch), labels))
        self._drawn = fake if self._share else None
        real, fake = self._shown(real, noise), self._shown(fake.detach(), noise)
        penalised = None
        if self._penalised:
            # Not compiled: torch.compile does not support second derivatives.
            judge = partial(self._scores, labels=labels)
            penalised = penalise(self._penalty, judge, real, fake, noise)
        # The penalty at data and samples has computed their scores already.
        on_real = penalised.real if penalised else None
        on_fake = penalised.fake if penalised else None
        on_real = self._judge(real, labels) if on_real is None else on_real
        on_fake = self._judge(fake, labels) if on_fake is None else on_fake
        form = self.config.loss
        loss = discriminator_loss(on_real, on_fake, form, self.config.label_smoothing)
        right = accuracies(on_real.detach(), on_fake.detach(), form)
        if self.ada is not None:
            self.ada.note(right[0], len(on_real))
        scalars = {
            "discriminator_loss": loss.detach(),
            "accuracy_real": right[0],
            "accuracy_fake": right[1],
            # Difference of mean scores. Near 0 the networks are balanced. If it grows, the
            # discriminator dominates.
            "margin": (on_real.detach().mean() - on_fake.detach().mean()),
        }
        if penalised is not None:
            scalars["slope"] = penalised.slope
            loss = loss + penalised.value
        return Loss(loss, scalars)

    def _shown(self, grid: Tensor, noise: Noise) -> Tensor:
        """Input of the discriminator: augmented items, with `pack` items as the channels of one.

        Packing (Lin et al. 2018, PacGAN, section 2): if the generator drops modes, the items of a
        pack are too similar. The discriminator can then distinguish such packs from packs of data.
        """
        together = self.config.pack * max(1, self.config.minibatch_stddev)
        if len(grid) % together:
            raise ConfigError(
                f"batch_size: a process has {len(grid)} items, no multiple of {together}, the "
                "samples that are judged together (pack, minibatch_stddev)"
            )
        grid = augment(grid, self.config.diffaug, noise)
        if self.ada is not None:
            grid = self.ada(grid, noise)
        pack = self.config.pack
        return grid if pack == 1 else grid.unflatten(0, (-1, pack)).flatten(1, 2)

    def _generate(self, z: Tensor) -> Tensor:
        grid: Tensor = self.generator(z).float()
        return grid.tanh()

    def _generator_input(self, noise: Noise, rows: int, labels: Tensor | None) -> Tensor:
        """Input of the generator in training."""
        return with_label(noise.normal(rows, self.config.latent), labels, self.classes)

    def _judge(self, grid: Tensor, labels: Tensor | None) -> Tensor:
        return self._scores(grid, labels).float()

    def _scores(self, grid: Tensor, labels: Tensor | None) -> Tensor:
        scores: Tensor
        scores = self.discriminator(grid) if labels is None else self.discriminator(grid, labels)
        return scores

    def sample(
        self,
        n: int,
        *,
        seed: int,
        batch_size: int = 256,
        length: int | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Generate from n draws of N(0, I); uint8 n×C×H×W. `length` is not used."""
        labels = self.labels_of(n, seed, labels)
        return self.decode(prior(n, self.config.latent, seed), labels=labels)

    def decode(self, z: Tensor, *, labels: Tensor | None = None) -> Tensor:
        """Samples, uint8 N×C×H×W, for noise float32 N×`latent` (and labels, int64 N)."""
        parts = []
        with evaluating(self):
            for rows, block, of in in_labelled_blocks(z, labels, self.device, self.pass_rows):
                latents = with_label(block, of, self.classes)
                unit = self.generator(latents).float().tanh() * 0.5 + 0.5
                parts.append(to_bytes(unit[: rows.stop - rows.start]).cpu())
        return torch.cat(parts)


def _generator(config: GANConfig, features: int, shape: tuple[int, ...]) -> nn.Sequential:
    if config.network == "r3":
        return r3_generator(
            features, config.hidden, shape, blocks=config.blocks, group_width=config.group_width
        )
    return decoder(
        _NETWORKS[config.network],
        features,
        config.hidden,
        shape,
        act="relu",
        norm="batch" if config.generator_norm == "auto" else config.generator_norm,
        attention=config.attention,
    )


def _discriminator(config: GANConfig, shape: tuple[int, ...]) -> nn.Sequential:
    if config.network == "r3":
        return r3_discriminator(
            shape, config.hidden, blocks=config.blocks, group_width=config.group_width
        )
    return encoder(
        _NETWORKS[config.network],
        shape,
        config.hidden,
        1,
        act="leaky-relu",
        norm=_discriminator_norm(config),
        attention=config.attention,
        compared=config.minibatch_stddev,
    )


def _unit(batch: Tensor) -> Tensor:
    """uint8 0…255 to float32 −1…1."""
    return batch.to(torch.float32) / 127.5 - 1


def _discriminator_norm(config: GANConfig) -> Norm:
    """Resolve `auto`: batch normalisation in a DCGAN without gradient penalty or spectral norm.

    Layer normalisation replaces it for wgan-gp (Gulrajani et al. 2017, section 4). There is none
    for r1, r1r2 and spectral normalisation, as in their papers.
    """
    if config.discriminator_norm != "auto":
        return config.discriminator_norm
    if config.network != "dcgan" or config.spectral_norm or config.penalty.name in ("r1", "r1r2"):
        return "none"
    return "layer" if config.penalty.name == "wgan-gp" else "batch"


def _dcgan_start(module: nn.Module) -> None:
    """Initialise weights from N(0, 0.02) and gains from N(1, 0.02) (Radford et al. 2016)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
