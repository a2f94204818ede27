"""The frozen feature extractor of a data set: a small CNN trained on that data set.

Metrics in its features are named after the data set (`frechet_digits_cnn`). They are not called
"FID", because Inception features do not represent digits or spectrograms and are not available
offline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from genmint.config.base import Frozen, PositiveInt, Share
from genmint.evaluation.corruptions import kinds
from genmint.evaluation.extractor_network import plain_network, residual_network
from genmint.evaluation.stored_network import load_network, remedy, save_network

Task = Literal["labels", "rotation", "order"]
Network = Literal["plain", "residual"]

FEATURES = 32
# Features are computed in batches of this size regardless of the protocol's batch size, because
# the rounding of convolutions depends on it. Batches of larger grids are smaller: a pixel takes
# up to 200 bytes in the first layers (400 while the extractor is trained).
_PART = 256
_PART_PIXELS = 1 << 20


class ExtractorInfo(Frozen):
    """extractor.json: description of the weights.

    Attributes:
        name: `{data set with _}_cnn`, the suffix of its metrics' names.
        task: classification task that it was trained on.
        shape: (C, H, W) of its input.
        classes: number of classes; for a stacked set, of a single channel.
        accuracy: accuracy on the test split.
        stacked: whether each channel is classified separately.
        network: `plain` in files of an older version of genmint.
    """

    name: str
    task: Task
    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    classes: PositiveInt
    accuracy: Share
    stacked: bool = False
    network: Network = "plain"


class Extractor(nn.Module):
    """Residual CNN with a feature layer; takes grids from 8×8.

    Its outputs are the classes of its task and the corruptions of
    `genmint.evaluation.corruptions.kinds`, as one classification. The features therefore depend on
    the quality of an item and not on its class alone.

    The channels of stacked images are classified separately with the same weights, as is usual for
    stacked MNIST (Metz et al. 2017). A thousand classes are thus learnt from examples of ten
    classes.

    Args:
        shape: (C, H, W) of the grids.
        classes: number of classes K; for stacked grids, of a single channel.
        stacked: whether each channel is an image of its own.
        network: `plain` reads the weights of an older version of genmint, which knew no corruption.

    Attributes:
        extrapolates: whether the Fréchet distance is extrapolated to infinitely many samples.
        pool: items from which noise floors are drawn.
    """

    extrapolates: ClassVar[bool] = True
    pool: ClassVar[int] = 10_000
    centre: Tensor
    spread: Tensor
    scale: Tensor

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        *,
        stacked: bool = False,
        network: Network = "residual",
    ) -> None:
        super().__init__()
        channels, height, width = shape
        self.stack = channels if stacked else 1
        self.classes = classes
        inputs = 1 if stacked else channels
        if network == "plain":
            self.body = plain_network(inputs, FEATURES)
            self.corruptions = 0
        else:
            self.body = residual_network(inputs, height, width, FEATURES)
            self.corruptions = len(kinds(sound=False))
        self.head = nn.Linear(FEATURES, classes + self.corruptions)
        self.register_buffer("centre", torch.tensor(0.0))
        self.register_buffer("spread", torch.tensor(1.0))
        self.register_buffer("scale", torch.tensor(1.0))

    def forward(self, grids: Tensor) -> Tensor:
        """Return the logits of the classes, float32 N×K, of grids uint8 or float32 N×C×H×W.

        For stacked grids the shape is NC×K, one row per channel.
        """
        return self.outputs(grids)[:, : self.classes]

    def outputs(self, grids: Tensor) -> Tensor:
        """Return the logits of the classes and the corruptions, as `forward`, side by side."""
        logits: Tensor = self.head(self._hidden(grids))
        return logits

    @torch.no_grad()
    def features(self, grids: Tensor) -> npt.NDArray[np.float64]:
        """Return the features, scaled to a mean variance of 1 on the training split.

        The features are the activations of the last layer before the classifier.

        Args:
            grids: uint8 N×C×H×W.

        Returns:
            float64 N×32; for stacked grids N×32C, channel by channel.
        """
        hidden = torch.cat([self._hidden(part) for part in parts(grids)])
        hidden = hidden.to(torch.float64) / self.scale.to(torch.float64)
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

        The probability of being corrupted is divided equally among the classes, so that no class of
        a corrupted grid is confident. For stacked grids the shape is N×K^C; entries are products of
        the channels' probabilities.
        """
        logits = torch.cat([self.outputs(part) for part in parts(grids)])
        outputs = logits.to(torch.float64).softmax(dim=1)
        corrupt = outputs[:, self.classes :].sum(dim=1, keepdim=True)
        single = outputs[:, : self.classes] + corrupt / self.classes
        per_channel = single.reshape(-1, self.stack, single.shape[1])
        joint = per_channel[:, 0]
        for channel in range(1, self.stack):
            joint = (joint[:, :, None] * per_channel[:, channel, None]).flatten(1)
        return joint.numpy()

    def _hidden(self, grids: Tensor) -> Tensor:
        x = (grids.to(torch.float32) - self.centre) / self.spread
        if self.stack > 1:
            x = x.flatten(0, 1).unsqueeze(1)
        hidden: Tensor = self.body(x.contiguous(memory_format=torch.channels_last))
        return hidden


def predict(
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
        predicted = torch.cat([model(part).argmax(dim=1) for part in parts(grids)])
        truth = labels.flatten()
        return predicted.numpy(), truth.numpy()
    by_form = [
        torch.cat([model(transformed(part, form, task)).argmax(dim=1) for part in parts(grids)])
        for form in range(number_of_classes(task))
    ]
    forms = np.repeat(np.arange(number_of_classes(task)), len(grids))
    return torch.cat(by_form).numpy(), forms


def accuracy(model: Extractor, grids: Tensor, labels: Tensor | None, task: Task) -> float:
    """Return the share of correct predictions, see `predict`."""
    predicted, truth = predict(model, grids, labels, task)
    return float((predicted == truth).mean())


def number_of_classes(task: Task, labels: tuple[str, ...] | None = None) -> int:
    """Return the number of classes of a task."""
    if task == "labels":
        return len(labels or ())
    return 4 if task == "rotation" else 2


def transformed(grids: Tensor, answer: int, task: Task) -> Tensor:
    """Return grids whose correct class for a self-supervised task is `answer`."""
    if task == "rotation":
        return torch.rot90(grids, answer, dims=(2, 3))
    return grids.roll(answer * (grids.shape[3] // 2), dims=3)


def save_extractor(folder: Path, model: Extractor, info: ExtractorInfo) -> None:
    """Write extractor.safetensors and extractor.json into `folder`."""
    save_network(folder, model.state_dict(), info)


def load_extractor(folder: Path, way_out: str | None = None) -> tuple[Extractor, ExtractorInfo]:
    """Read the files written by `save_extractor`.

    Args:
        folder: folder with the two files.
        way_out: sentence that ends each error; None if `folder` is that of a reference.

    Raises:
        GenmintError: a file is missing.
        DataError: the weights are damaged or belong to another network.
    """
    model, info = load_network(
        folder,
        way_out or remedy(folder),
        ExtractorInfo,
        lambda info: Extractor(
            info.shape, info.classes, stacked=info.stacked, network=info.network
        ),
    )
    # The layout of the memory is that of training, and so is the rounding.
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model, info


def part_size(height: int, width: int) -> int:
    """Return how many grids of this size are processed at a time."""
    return max(1, min(_PART, _PART_PIXELS // (height * width)))


def parts(grids: Tensor) -> tuple[Tensor, ...]:
    """Split grids into parts that are processed at a time."""
    split: tuple[Tensor, ...] = grids.split(part_size(grids.shape[2], grids.shape[3]))
    return split


def selected_grids(sets: Sequence[Tensor], rows: Tensor, size: int) -> Iterator[Tensor]:
    """Yield selected grids of several sets in order, uint8 n×C×H×W, `size` at a time.

    Args:
        sets: grids, uint8 N×C×H×W each; indexed as if they were concatenated.
        rows: indices of the selected grids, int64 M.
        size: grids that are copied at a time.
    """
    starts = torch.tensor([0, *(len(one) for one in sets)]).cumsum(0)
    for part in rows.split(size):
        grids = torch.empty((len(part), *sets[0].shape[1:]), dtype=torch.uint8)
        for one, begin, end in zip(sets, starts[:-1], starts[1:], strict=True):
            inside = (part >= begin) & (part < end)
            grids[inside] = one[part[inside] - begin]
        yield grids


def _chosen(sets: Sequence[Tensor], rows: Tensor) -> Iterator[Tensor]:
    return selected_grids(sets, rows, part_size(sets[0].shape[2], sets[0].shape[3]))
