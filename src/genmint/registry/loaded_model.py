"""A loaded model for use from Python: NumPy arrays, class names and text in and out."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from genmint.common.errors import ConfigError
from genmint.common.reading import shortened
from genmint.interpretability.latents import interpolate
from genmint.models.shared.abilities import Decoder, Encoder
from genmint.models.shared.family import Family
from genmint.models.shared.record import ModelRecord
from genmint.registry.item_arrays import (
    as_array,
    described_items,
    items_tensor,
    labels_tensor,
    latents_tensor,
    text_symbols,
    whole_number,
)
from genmint.serving.draws import draw, draw_arguments, to_clips

SampleArrays = npt.NDArray[np.uint8] | npt.NDArray[np.int16] | list[str]
Labels = str | Sequence[str] | None

# Highest seed of a likelihood; seeds below it are drawn if the caller gives none.
_SEEDS = 2**63 - 1


class LoadedModel:
    """A trained model.

    Items and samples have one form in all methods:

    - images: uint8 N×C×H×W, 0…255, as `genmint sample --out x.npy` writes them and a served model
      answers them; `images.transpose(0, 2, 3, 1)` is what Pillow and matplotlib draw;
    - audio drawn sample by sample: 16-bit PCM, int16 N×T at `sample_rate`;
    - spectrograms of audio: uint8 N×1×H×W, which `to_audio` converts to int16 N×T. Methods that
      take items also take clips;
    - text: a list of strings.

    Labels are names of `classes`: one for all items, or one for each. A conditional model needs
    them wherever it takes items or latents; other models take none.

    A method that the family does not have raises ConfigError; `abilities` names those that it has.
    The same seed gives the same samples as `genmint sample` and the served model, on the same kind
    of machine.

    Attributes:
        module: the wrapped model, a torch module with tensors in and out, in evaluation mode.
        record: content of config.json: model entry, description of the data, hash of the weights.
        name: name of the model entry.
        version: number in the registry; None for a model that was loaded from files.
    """

    def __init__(self, module: Family, record: ModelRecord, version: str | None = None) -> None:
        self.module = module
        self.record = record
        self.name = record.name
        self.version = version

    def __repr__(self) -> str:
        """Return name, family, form of the items, and abilities."""
        number = "" if self.version is None else f"/{self.version}"
        form, able = described_items(self.module.spec), ", ".join(self.abilities)
        return f"<{self.name}{number}: {self.record.model.family}, {form}; {able}>"

    @property
    def abilities(self) -> tuple[str, ...]:
        """Names of the methods that this model has."""
        module, spec = self.module, self.module.spec
        decoder = module.as_decoder
        known = {
            "sample": True,
            "reconstruct": module.as_encoder is not None,
            "encode": module.as_encoder is not None,
            "decode": decoder is not None,
            "interpolate": decoder is not None and decoder.continuous,
            "log_likelihood": bool(self.record.model.likelihood_metrics(spec.kind)),
            "to_audio": spec.kind == "audio" and spec.view == "grid",
        }
        return tuple(name for name, has in known.items() if has)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of a conditional model; empty for an unconditional one."""
        return () if self.module.classes is None else self.module.classes.names

    @property
    def latent(self) -> int:
        """Number of latents that `decode` takes.

        They follow N(0, 1). Those of a VQ-VAE are numbers of codes.
        """
        return self._decoder("latent").latent

    @property
    def sample_rate(self) -> int | None:
        """Sample rate of audio in Hz; None for images and text."""
        return self.module.spec.sample_rate

    def sample(
        self,
        n: int = 1,
        *,
        seed: int | None = None,
        labels: Labels = None,
        length: int | None = None,
        prompt: str | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> SampleArrays:
        """Draw n samples.

        Args:
            n: number of samples, 1 or more.
            seed: 0 or more; None: another one in each call.
            labels: classes of the samples; None: drawn with the shares of the training split.
            length: symbols of a text (default 512); not for items of a fixed length.
            prompt: beginning of each text, which the samples include.
            temperature: of an RNN or a hierarchical VAE; None: that of the model entry.
            top_k: draw among the K most probable symbols; None as above, also for `top_p`.
            top_p: draw from the nucleus of this probability.

        Raises:
            ConfigError: the model does not support an option, or the option is out of range.
        """
        n = whole_number(n, "n", 1)
        seed = secrets.randbelow(_SEEDS) if seed is None else whole_number(seed, "seed", 0)
        given = {"prompt": prompt, "temperature": temperature, "top_k": top_k, "top_p": top_p}
        if prompt is not None and not isinstance(prompt, str):
            raise ConfigError(f"prompt: {shortened(prompt)} is not text")
        if length is not None:
            length = whole_number(length, "length", 1)
        options = {key: value for key, value in given.items() if value is not None}
        arguments = draw_arguments(self.module, n, length=length, options=options)
        arguments["labels"] = labels_tensor(self.module, labels, n, needed=False)
        samples = draw(self.module, n, seed=seed, arguments=arguments)
        if isinstance(samples, list):
            return samples
        values: npt.NDArray[np.uint8] | npt.NDArray[np.int16] = samples.numpy()
        return values

    def encode(self, items: Any, *, labels: Labels = None) -> npt.NDArray[np.float32]:
        """Return the latents of items, float32 N×L: the means of q(z|x) of a VAE.

        Those of a VQ-VAE are numbers of codes, in raster order.
        L is `latent`, and more for a VAE of two levels, whose second level follows the first.

        Raises:
            ConfigError: the model has no encoder; items or labels have another form.
        """
        encoder = self._encoder("encode")
        data = items_tensor(items, encoder.spec)
        of = labels_tensor(encoder, labels, len(data), needed=True)
        latents: npt.NDArray[np.float32] = encoder.encode(data, labels=of).numpy()
        return latents

    def decode(self, latents: Any, *, labels: Labels = None) -> npt.NDArray[np.uint8]:
        """Return what latents stand for, uint8 N×C×H×W (images or spectrograms), without noise.

        Args:
            latents: float32 N×`latent`; or what `encode` returns.
            labels: class of each row, for a conditional model.

        Raises:
            ConfigError: the model has no latents; latents or labels have another form.
        """
        decoder = self._decoder("decode")
        z = latents_tensor(latents, self._widths(decoder))[:, : decoder.latent]
        of = labels_tensor(decoder, labels, len(z), needed=True)
        grid: npt.NDArray[np.uint8] = decoder.decode(z, labels=of).numpy()
        return grid

    def reconstruct(self, items: Any, *, labels: Labels = None) -> npt.NDArray[np.uint8]:
        """Encode and decode items; uint8 N×C×H×W (images or spectrograms).

        Raises:
            ConfigError: the model has no encoder; items or labels have another form.
        """
        encoder = self._encoder("reconstruct")
        data = items_tensor(items, encoder.spec)
        of = labels_tensor(encoder, labels, len(data), needed=True)
        grid: npt.NDArray[np.uint8] = encoder.reconstruct(data, labels=of).numpy()
        return grid

    def interpolate(
        self, starts: Any, ends: Any, steps: int = 8, *, labels: Labels = None
    ) -> npt.NDArray[np.uint8]:
        """Return interpolations, uint8 N×steps×C×H×W, between N pairs.

        Latents of a VAE are interpolated linearly, those of a GAN along the sphere (White 2016).

        Args:
            starts: latents, float N×`latent`; or items, which an encoder encodes first.
            ends: as many.
            steps: samples of an interpolation with both ends, 2 or more.
            labels: class of each interpolation, for a conditional model.

        Raises:
            ConfigError: the model has no latents, or no encoder for items; starts, ends or labels
                have another form.
        """
        decoder = self._decoder("interpolate")
        steps = whole_number(steps, "steps", 2)
        pair = [self._latents_of(each, labels) for each in (starts, ends)]
        a, b = (latents_tensor(z, self._widths(decoder))[:, : decoder.latent] for z in pair)
        if len(a) != len(b):
            raise ConfigError(f"interpolate: {len(a)} starts for {len(b)} ends")
        of = labels_tensor(decoder, labels, len(a), needed=True)
        grid: npt.NDArray[np.uint8] = interpolate(decoder, a, b, steps, labels=of).numpy()
        return grid

    def log_likelihood(
        self, items: Any, *, labels: Labels = None, seed: int = 0, draws: int = 64
    ) -> npt.NDArray[np.float64]:
        """Return the log-likelihood of each item in nats, float64 N.

        It is exact for an RNN: of the symbols of a text or, for audio, of its μ-law levels. For a
        VAE it is the importance-weighted lower bound of `draws` draws (Burda et al. 2016); if the
        model is of binary pixels, grey values are binarised with `seed` first.

        Args:
            items: as described in the class; texts begin as documents do.
            labels: class of each item, for a conditional model.
            seed: of the draws and of the binarisation, 0…2⁶³ − 1.
            draws: more draws give a tighter bound.

        Raises:
            ConfigError: the family has no likelihood; items or labels have another form; a text has
                characters that the training split did not have.
        """
        self._require("log_likelihood")
        seed, draws = whole_number(seed, "seed", 0, _SEEDS), whole_number(draws, "draws", 1)
        if self.module.spec.kind == "text":
            return self._text_likelihoods(items, labels)
        data = items_tensor(items, self.module.spec)
        of = labels_tensor(self.module, labels, len(data), needed=True)
        bounds = self.module.likelihoods(data, seed=seed, draws=draws, batch_size=256, labels=of)
        # A family names its loosest bound first.
        values: npt.NDArray[np.float64] = list(bounds.items.values())[-1].numpy()
        return values

    def to_audio(self, spectrograms: Any) -> npt.NDArray[np.int16]:
        """Convert spectrograms to clips by Griffin–Lim: int16 N×T at `sample_rate`.

        Args:
            spectrograms: uint8 N×1×H×W, as the model gives them.

        Raises:
            ConfigError: the model is not of spectrograms; or another type or shape.
        """
        self._require("to_audio")
        return to_clips(items_tensor(spectrograms, self.module.spec), self.module.spec)

    def _latents_of(self, values: Any, labels: Labels) -> npt.NDArray[Any]:
        """Return latents, which are what values of a floating type are; encode other values."""
        array = as_array(values, "starts and ends")
        if array.dtype.kind == "f":
            return array
        if self.module.as_encoder is None:
            raise ConfigError(
                f"{self.name}, {self.record.model.family}: has no encoder; interpolate between "
                f"latents, float N×{self.latent}"
            )
        return self.encode(array, labels=labels)

    def _text_likelihoods(self, texts: Any, labels: Labels) -> npt.NDArray[np.float64]:
        labels_tensor(self.module, labels, 0, needed=False)
        reader = self.module.as_reader
        assert reader is not None
        if not isinstance(texts, list | tuple | np.ndarray) or not len(texts):
            raise ConfigError("items: a list of one text or more is needed")
        values = []
        for number, text in enumerate(texts):
            try:
                symbols = text_symbols(text, reader.spec)
            except ConfigError as error:
                raise ConfigError(f"text {number}: {error}") from None
            values.append(-float(reader.nats(symbols).sum()))
        return np.array(values)

    def _widths(self, decoder: Decoder) -> tuple[int, ...]:
        """Return the numbers of latents that `decode` and `encode` have."""
        encoder = decoder.as_encoder
        if encoder is None:
            return (decoder.latent,)
        blank = items_tensor(np.zeros((1, *decoder.spec.shape), np.uint8), decoder.spec)
        label = (
            None if not self.classes else labels_tensor(encoder, self.classes[0], 1, needed=True)
        )
        return decoder.latent, encoder.encode(blank, labels=label).shape[1]

    def _encoder(self, method: str) -> Encoder:
        self._require(method)
        encoder = self.module.as_encoder
        assert encoder is not None
        return encoder

    def _decoder(self, method: str) -> Decoder:
        self._require("decode" if method == "latent" else method, method)
        decoder = self.module.as_decoder
        assert decoder is not None
        return decoder

    def _require(self, method: str, shown: str | None = None) -> None:
        if method not in self.abilities:
            raise ConfigError(
                f"{self.name}, {self.record.model.family} ({self.module.spec.kind}): has no "
                f"{shown or method}; it has {', '.join(self.abilities)}"
            )
