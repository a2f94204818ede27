"""The frozen feature extractor of a data set: a small CNN trained on that data set.

Metrics in its features are named after the data set (`frechet_digits_cnn`). They are not called
"FID", because Inception features do not represent digits or spectrograms and are not available
offline.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from genmint.common.errors import DataError
from genmint.common.files import atomic_path, read_json, write_json
from genmint.config.base import Frozen, PositiveInt, Share
from genmint.config.datasets import SMALLEST_SIDE
from genmint.models.shared import eager_optimizer

Task = Literal["labels", "rotation", "order"]

FEATURES = 32
# Training budget in pixels: a thousand epochs on 1,000 digits of 8×8, but one and a half on MNIST,
# which take about half a minute. More training hardly improves the accuracy.
_PIXEL_BUDGET = 64_000_000
_BATCH = 64
_LR = 4e-3
# Features are computed in batches of this size regardless of the protocol's batch size, because
# the rounding of convolutions depends on it. Batches of larger grids are smaller: a pixel takes
# about 200 bytes in the first layers (400 while the extractor is trained).
_PART = 256
_PART_PIXELS = 1 << 20
# Number of grids from which means and variances are estimated.
_ENOUGH = 16_384


class ExtractorInfo(Frozen):
    """extractor.json: description of the weights.

    Attributes:
        name: `{data set with _}_cnn`, the suffix of its metrics' names.
        task: classification task that it was trained on.
        shape: (C, H, W) of its input.
        classes: number of classes; for a stacked set, of a single channel.
        accuracy: accuracy on the test split.
        stacked: whether each channel is classified separately.
    """

    name: str
    task: Task
    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    classes: PositiveInt
    accuracy: Share
    stacked: bool = False


class Extractor(nn.Module):
    """CNN with three convolutions, pooling to 2×2 and a feature layer; takes grids from 8×8.

    The channels of stacked images are classified separately with the same weights, as is usual for
    stacked MNIST (Metz et al. 2017). A thousand classes are thus learnt from examples of ten
    classes.

    Args:
        channels: C of the grids.
        classes: number of classes K; for stacked grids, of a single channel.
        stacked: whether each channel is an image of its own.
    """

    centre: Tensor
    spread: Tensor
    scale: Tensor

    def __init__(self, channels: int, classes: int, *, stacked: bool = False) -> None:
        super().__init__()
        self.stack = channels if stacked else 1
        self.body = nn.Sequential(
            nn.Conv2d(1 if stacked else channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(2),
            nn.Flatten(),
            nn.Linear(256, FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(FEATURES, classes)
        self.register_buffer("centre", torch.tensor(0.0))
        self.register_buffer("spread", torch.tensor(1.0))
        self.register_buffer("scale", torch.tensor(1.0))

    def forward(self, grids: Tensor) -> Tensor:
        """Return the logits, float32 N×K, of grids uint8 N×C×H×W.

        For stacked grids the shape is NC×K, one row per channel.
        """
        logits: Tensor = self.head(self._hidden(grids))
        return logits

    @torch.no_grad()
    def features(self, grids: Tensor) -> npt.NDArray[np.float64]:
        """Return the features, scaled to a mean variance of 1 on the training split.

        The features are the activations of the last layer before the classifier.

        Args:
            grids: uint8 N×C×H×W.

        Returns:
            float64 N×32, 0 or more; for stacked grids N×32C, channel by channel.
        """
        parts = [self._hidden(part) for part in _parts(grids)]
        hidden = torch.cat(parts).to(torch.float64) / self.scale.to(torch.float64)
        return hidden.reshape(-1, FEATURES * self.stack).numpy()

    def features_at(self, sets: Sequence[Tensor], rows: Tensor) -> npt.NDArray[np.float64]:
        """Return the features of selected grids of several sets; copies one batch at a time.

        Args:
            sets: grids, uint8 N×C×H×W each; indexed as if they were concatenated.
            rows: indices of the selected grids, int64 M.
        """
        return np.concatenate([self.features(part) for part in _chosen(sets, rows)])

    def probabilities_at(self, sets: Sequence[Tensor], rows: Tensor) -> npt.NDArray[np.float64]:
        """Return the class probabilities of selected grids of several sets; see `features_at`."""
        return np.concatenate([self.probabilities(part) for part in _chosen(sets, rows)])

    @torch.no_grad()
    def probabilities(self, grids: Tensor) -> npt.NDArray[np.float64]:
        """Return the class probabilities, float64 N×K, of grids uint8 N×C×H×W.

        For stacked grids the shape is N×K^C; entries are products of the channels' probabilities.
        """
        parts = [self(part) for part in _parts(grids)]
        single = torch.cat(parts).to(torch.float64).softmax(dim=1)
        told = single.reshape(-1, self.stack, single.shape[1])
        joint = told[:, 0]
        for channel in range(1, self.stack):
            joint = (joint[:, :, None] * told[:, channel, None]).flatten(1)
        return joint.numpy()

    def _hidden(self, grids: Tensor) -> Tensor:
        x = (grids.to(torch.float32) - self.centre) / self.spread
        if self.stack > 1:
            x = x.flatten(0, 1).unsqueeze(1)
        hidden: Tensor = self.body(x)
        return hidden


def train_extractor(
    grids: Tensor,
    labels: Tensor | None,
    *,
    classes: int,
    task: Task,
    epochs: int,
    seed: int,
    stacked: bool = False,
) -> Extractor:
    """Train the extractor on the labels, or on a self-supervised task.

    Task `rotation`: by which multiple of 90° an image was rotated (Gidaris et al. 2018). Task
    `order`: whether the two halves of a spectrogram were swapped in time. Weights and batches are
    drawn from `seed`. On a CPU the same call gives the same weights.

    Args:
        grids: uint8 N×C×H×W, H and W at least 8.
        labels: int64 N for the task `labels`, of stacked grids N×C; otherwise None.
        classes: number of labels; for other tasks see `classes_of`.
        task: see above.
        epochs: passes over the grids; large sets stop after a fixed budget of pixels.
        seed: seed of weights, order and tasks.
        stacked: whether each channel is an image of its own.

    Raises:
        DataError: the grids are smaller than 8×8, not square although the task is `rotation`, or
            all of one constant value.
    """
    _check(grids, task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Extractor(grids.shape[1], classes, stacked=stacked)
    spread, centre = _std_mean(grids[:_ENOUGH])
    model.centre.copy_(centre)
    model.spread.copy_(spread)
    generator = torch.Generator().manual_seed(seed)
    with _one_thread():
        _descend(model, grids, labels, task, epochs, generator)
    model.eval().requires_grad_(False)
    _set_scale(model, grids, torch.randperm(len(grids), generator=generator)[:_ENOUGH])
    return model


def answers(
    model: Extractor, grids: Tensor, labels: Tensor | None, task: Task
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the predictions of the extractor and the correct classes.

    For a self-supervised task each grid is classified in all A transformed versions.

    Args:
        model: trained extractor.
        grids: uint8 N×C×H×W.
        labels: int64 N for the task `labels`, of stacked grids N×C, one label a channel; otherwise
            None.
        task: task that the extractor was trained on.

    Returns:
        Both int64; N entries for N grids, NC for stacked grids, NA for a self-supervised task.
    """
    if task == "labels":
        assert labels is not None
        told = torch.cat([model(part).argmax(dim=1) for part in _parts(grids)])
        truth = labels.flatten()
        return told.numpy(), truth.numpy()
    found = [
        torch.cat([model(_transform(part, form, task)).argmax(dim=1) for part in _parts(grids)])
        for form in range(classes_of(task))
    ]
    forms = np.repeat(np.arange(classes_of(task)), len(grids))
    return torch.cat(found).numpy(), forms


def accuracy(model: Extractor, grids: Tensor, labels: Tensor | None, task: Task) -> float:
    """Return the share of correct predictions, see `answers`."""
    told, truth = answers(model, grids, labels, task)
    return float((told == truth).mean())


def classes_of(task: Task, labels: tuple[str, ...] | None = None) -> int:
    """Return the number of classes of a task."""
    if task == "labels":
        return len(labels or ())
    return 4 if task == "rotation" else 2


def save_extractor(folder: Path, model: Extractor, info: ExtractorInfo) -> None:
    """Write extractor.safetensors and extractor.json into `folder`."""
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    with atomic_path(folder / "extractor.safetensors") as temporary:
        save_file(state, temporary)
    write_json(folder / "extractor.json", info.model_dump(mode="json"))


def load_extractor(folder: Path) -> tuple[Extractor, ExtractorInfo]:
    """Read the files written by `save_extractor`.

    Raises:
        GenmintError: a file is missing.
        DataError: the weights are damaged or belong to another network.
    """
    way_out = f"Run `dvc repro -f reference@{folder.name}`."
    raw = read_json(folder / "extractor.json", way_out)
    path = folder / "extractor.safetensors"
    try:
        info = ExtractorInfo.model_validate(raw | {"shape": tuple(raw["shape"])})
        # On the meta device no memory is allocated: a damaged file may state far too large sizes.
        with torch.device("meta"):
            model = Extractor(info.shape[0], info.classes, stacked=info.stacked)
        model.load_state_dict(load_file(path), assign=True)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file. {way_out}") from None
    except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"{path}: not the expected extractor ({first}). {way_out}") from None
    return model.eval().requires_grad_(False), info


def part_size(height: int, width: int) -> int:
    """Return how many grids of this size are processed at a time."""
    return max(1, min(_PART, _PART_PIXELS // (height * width)))


def _chosen(sets: Sequence[Tensor], rows: Tensor) -> Iterator[Tensor]:
    """Yield the grids with these indices in order, one batch at a time."""
    starts = torch.tensor([0, *(len(one) for one in sets)]).cumsum(0)
    for part in rows.split(part_size(sets[0].shape[2], sets[0].shape[3])):
        grids = torch.empty((len(part), *sets[0].shape[1:]), dtype=torch.uint8)
        for one, begin, end in zip(sets, starts[:-1], starts[1:], strict=True):
            inside = (part >= begin) & (part < end)
            grids[inside] = one[part[inside] - begin]
        yield grids


def _parts(grids: Tensor) -> tuple[Tensor, ...]:
    parts: tuple[Tensor, ...] = grids.split(part_size(grids.shape[2], grids.shape[3]))
    return parts


def _check(grids: Tensor, task: Task) -> None:
    height, width = grids.shape[2:]
    if min(height, width) < SMALLEST_SIDE:
        raise DataError(
            f"the extractor needs grids of at least {SMALLEST_SIDE}×{SMALLEST_SIDE}, but these are "
            f"{height}×{width}"
        )
    if task == "rotation" and height != width:
        raise DataError(f"rotation needs square images, but these are {height}×{width}")
    first = grids.reshape(-1)[0]
    if all(bool((part == first).all()) for part in _parts(grids)):
        raise DataError(
            "all training items are one and the same colour (or silence): nothing can be learnt"
        )


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Limit torch to one thread, because gradient sums depend on the number of threads.

    The weights of the extractor must not depend on it.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _descend(
    model: Extractor,
    grids: Tensor,
    labels: Tensor | None,
    task: Task,
    epochs: int,
    generator: torch.Generator,
) -> None:
    n = len(grids)
    batch = min(_BATCH, n)
    part = part_size(grids.shape[2], grids.shape[3])
    budget = max(1, _PIXEL_BUDGET // (grids.shape[2] * grids.shape[3]))
    steps = math.ceil(min(epochs * n, budget) / batch)
    eager_optimizer.spare_compiler()
    optimiser = torch.optim.Adam(model.parameters(), lr=_LR)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        if len(order) < batch:
            order = torch.cat([order, torch.randperm(n, generator=generator)])
        chosen, order = order[:batch], order[batch:]
        x, y = _examples(grids[chosen], None if labels is None else labels[chosen], task, generator)
        optimiser.zero_grad(set_to_none=True)
        if len(x) <= part:
            functional.cross_entropy(model(x), y).backward()
        else:
            # Accumulate the gradient over parts; it is the same up to rounding. A stacked grid has
            # C targets.
            for some, right in zip(x.split(part), y.split(part * (len(y) // len(x))), strict=True):
                loss = functional.cross_entropy(model(some), right, reduction="sum") / len(y)
                loss.backward()
        eager_optimizer.step(optimiser)
        schedule.step()


def _examples(
    grids: Tensor, labels: Tensor | None, task: Task, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    if task == "labels":
        assert labels is not None
        return grids, labels.flatten()
    answers = torch.randint(0, classes_of(task), (len(grids),), generator=generator)
    x = grids.clone()
    for answer in range(classes_of(task)):
        chosen = answers == answer
        x[chosen] = _transform(grids[chosen], answer, task)
    return x, answers


def _transform(grids: Tensor, answer: int, task: Task) -> Tensor:
    if task == "rotation":
        return torch.rot90(grids, answer, dims=(2, 3))
    return grids.roll(answer * (grids.shape[3] // 2), dims=3)


def _std_mean(grids: Tensor) -> tuple[Tensor, Tensor]:
    """Return standard deviation and mean of all pixels."""
    if grids.numel() <= _PIXEL_BUDGET:
        return torch.std_mean(grids.to(torch.float32))
    total = square = 0
    for part in _parts(grids):
        values = part.to(torch.int64)
        total += int(values.sum())
        square += int((values * values).sum())
    n = grids.numel()
    variance = (square - total * total / n) / (n - 1)
    return torch.tensor(math.sqrt(variance)), torch.tensor(total / n)


def _set_scale(model: Extractor, grids: Tensor, chosen: Tensor) -> None:
    variance = float(model.features_at([grids], chosen).var(axis=0).mean())
    if not math.isfinite(variance) or variance <= 0:
        raise DataError("the extractor's features are constant: the training items do not differ")
    model.scale.copy_(torch.tensor(math.sqrt(variance)))
