"""Model entries: for each family that fits the data, candidates from large to small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genmint.config import AudioDataset, Dataset, ImageDataset, ModelConfig, parse_model
from genmint.config.fit import grid_sides
from genmint.data.views.spec import DataSpec
from genmint.proposal.entry_text import EntryKey, ParamsEntry

# Symbols of an item above which a recurrent network is not proposed: it draws them one by one.
LONGEST_SEQUENCE = 13_000
# Symbols of the training split below which a network memorises images within a few passes.
_FEW_SYMBOLS = 1_000_000
# Smallest and largest side between which networks halve a grid.
_SMALLEST_GRID = 4
# Validations of a training run; of a recurrent network each takes long.
_VALIDATIONS, _OF_SEQUENCES = 10, 5
# Parts of the time that the families get; a recurrent network draws its samples symbol by symbol.
SHARES = {"vae": 1.0, "gan": 1.5, "rnn": 3.0}


@dataclass(frozen=True)
class Candidate:
    """A network that may be proposed.

    Attributes:
        family: vae, gan or rnn.
        settings: its settings without family, data set and the number of steps.
        passes: passes over the training split that it needs to be better than a smaller one.
        most_passes: passes after which it would only over-fit.
        batch_size: items of a step.
    """

    family: str
    settings: tuple[EntryKey, ...]
    passes: float
    most_passes: float
    batch_size: int

    @property
    def validations(self) -> int:
        """Number of validations during training."""
        return _OF_SEQUENCES if self.family == "rnn" else _VALIDATIONS

    def entry(self, name: str, dataset: str, steps: int) -> ParamsEntry:
        """Return the model entry with this number of steps."""
        first = (EntryKey("family", self.family), EntryKey("dataset", dataset))
        last = (
            EntryKey("steps", steps),
            EntryKey("batch_size", self.batch_size),
            EntryKey("validate_every", max(1, steps // self.validations)),
        )
        return ParamsEntry(name, (*first, *self.settings, *last))

    def config(self, dataset: str, steps: int) -> ModelConfig:
        """Return the validated model entry with this number of steps."""
        return parse_model(self.entry("candidate", dataset, steps).values())


def fitting_families(dataset: Dataset, spec: DataSpec) -> dict[str, str]:
    """Return the families that can be trained on the data, with why not for the others.

    Args:
        dataset: data set entry.
        spec: sequence view of the data.

    Returns:
        For each family "" if it fits, else the reason.
    """
    if dataset.kind == "text":
        reason = "takes grids, and this is text"
        return {"rnn": "", "vae": reason, "gan": reason}
    length = spec.shape[0]
    too_long = (
        f"would draw {length:,} symbols one by one; it is proposed up to {LONGEST_SEQUENCE:,}"
    )
    return {"rnn": "" if length <= LONGEST_SEQUENCE else too_long, "vae": "", "gan": ""}


def candidates(
    family: str, dataset: Dataset, items: int, *, binary: bool = False
) -> Sequence[Candidate]:
    """Return networks of a family for a data set, the largest first.

    Args:
        family: vae, gan or rnn.
        dataset: data set entry.
        items: number of training items (text: characters).
        binary: whether the pixels of the images are nearly all black or white.
    """
    if family == "rnn":
        return _networks_of_sequences(dataset, items)
    if family == "vae":
        return _auto_encoders(dataset, items, binary)
    return _adversarial(dataset, items)


def _networks_of_sequences(dataset: Dataset, items: int) -> list[Candidate]:
    if isinstance(dataset, ImageDataset):
        return _networks_of_images(dataset, items)
    if isinstance(dataset, AudioDataset):
        shared = (
            EntryKey("embedding", 32),
            EntryKey("context", 32, "samples; more than a period of the lowest note is best"),
            EntryKey("bptt", 64, "samples"),
        )
        return [
            _recurrent("lstm", width, 1, shared, passes, 16)
            for width, passes in ((192, 3.0), (128, 0.7), (96, 0.0))
        ]
    large = (
        EntryKey("embedding", 64),
        EntryKey("dropout", 0.3),
        EntryKey("bptt", 64, "characters"),
        EntryKey("random_offsets", True),
        EntryKey("ema", 0.998),
    )
    small = (
        EntryKey("embedding", 64),
        EntryKey("bptt", 64, "characters"),
        EntryKey("random_offsets", True),
    )
    batch = 32 if items > 100_000 else 8
    return [
        _recurrent("lstm", 256, 2, large, 10.0, batch, most=60.0),
        _recurrent("lstm", 256, 1, small, 4.0, batch, most=40.0),
        _recurrent("lstm", 128, 1, small, 0.0, batch, most=40.0),
    ]


def _networks_of_images(dataset: ImageDataset, items: int) -> list[Candidate]:
    channels = 3 if dataset.mode == "rgb" else 1
    row = dataset.resolution * channels
    context = min(512, row + 2 * channels)
    shared: tuple[EntryKey, ...] = (
        EntryKey("embedding", 32),
        EntryKey("context", context, "symbols; reaches the pixels above"),
        EntryKey("bptt", min(128, max(32, row)), "symbols"),
        EntryKey("ema", 0.99),
    )
    few = items * dataset.resolution * row < _FEW_SYMBOLS
    if few:
        shared = (*shared, EntryKey("dropout", 0.3), EntryKey("variational_dropout", True))
    most = 10.0 if few else 30.0
    return [
        _recurrent("gru", width, 1, shared, passes, 16, most)
        for width, passes in ((320, 8.0), (192, 3.0), (96, 0.0))
    ]


def _recurrent(
    cell: str,
    width: int,
    layers: int,
    shared: tuple[EntryKey, ...],
    passes: float,
    batch: int,
    most: float = 30.0,
) -> Candidate:
    optimiser = {"name": "adamw", "lr": 4e-3, "schedule": "cosine", "clip_norm": 1.0}
    settings = (
        EntryKey("cell", cell),
        EntryKey("hidden", width),
        EntryKey("layers", layers),
        *shared,
        EntryKey("optimiser", optimiser),
    )
    return Candidate("rnn", settings, passes, most, batch)


def _widths(dataset: Dataset, widths: Sequence[int]) -> list[int]:
    """Return as many widths as leave a grid of at least 4 on its shorter side."""
    sides = grid_sides(dataset)
    assert sides is not None
    side, number = min(sides), 0
    while side // 2 >= _SMALLEST_GRID and number < len(widths):
        side, number = side // 2, number + 1
    return list(widths[: max(1, number)])


def _auto_encoders(dataset: Dataset, items: int, binary: bool) -> list[Candidate]:
    colours = isinstance(dataset, ImageDataset) and dataset.mode == "rgb"
    likelihood: tuple[EntryKey, ...] = (EntryKey("likelihood", "discretised-logistic"),)
    if binary:
        likelihood = (EntryKey("likelihood", "bernoulli", "nearly black and white"),)
    elif colours:
        why = "8-bit values; the channels of a pixel depend on each other"
        likelihood = (
            EntryKey("likelihood", "discretised-logistic-mixture", why),
            EntryKey("mixtures", 3),
        )
    augment: tuple[EntryKey, ...] = ()
    if isinstance(dataset, ImageDataset) and dataset.resolution >= 16 and items < 5000:
        augment = (EntryKey("augment", {"shift": 1}, "few images"),)
    networks = []
    for widths, latent, passes in (((64, 128, 128), 128, 60.0), ((32, 64, 64), 64, 0.0)):
        settings = (
            EntryKey("network", "conv"),
            EntryKey("hidden", _widths(dataset, widths)),
            EntryKey("latent", latent if items >= 1000 else latent // 2),
            *likelihood,
            EntryKey("activation", "silu"),
            *augment,
            EntryKey("optimiser", {"name": "adamw", "lr": 1e-3, "schedule": "cosine"}),
        )
        networks.append(Candidate("vae", settings, passes, 400.0, 32))
    return networks


def _adversarial(dataset: Dataset, items: int) -> list[Candidate]:
    adam: dict[str, Any] = {"name": "adam", "lr": 4e-4, "betas": [0.5, 0.999]}
    augment: tuple[EntryKey, ...] = ()
    if items < 5000:
        kinds = ["translation"] if dataset.kind == "audio" else ["colour", "translation"]
        augment = (EntryKey("diffaug", kinds, "few items"),)
    networks = []
    for widths, passes in (((64, 128, 256), 100.0), ((32, 64, 128), 0.0)):
        settings = (
            EntryKey("network", "dcgan"),
            EntryKey("hidden", _widths(dataset, widths)),
            EntryKey("latent", 64),
            *augment,
            EntryKey("ema", 0.995),
            EntryKey("generator", adam),
            EntryKey("discriminator", adam),
        )
        networks.append(Candidate("gan", settings, passes, 1000.0, 32))
    return networks
