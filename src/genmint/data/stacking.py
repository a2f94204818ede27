"""Stacking of images of one split as channels of new ones, for data sets with many classes.

Three random digits as red, green and blue have 1,000 roughly equally frequent classes, which a
classifier of single digits recognises. The number of classes that a generator covers measures mode
collapse (stacked MNIST: Metz et al. 2017; Srivastava et al. 2017, VEEGAN; Lin et al. 2018, PacGAN).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genmint.common.errors import DataError
from genmint.config.datasets import Stack
from genmint.data.packing import add_origins, add_trained, writers
from genmint.data.prepared import HELD_OUT, SPLITS, TRAINED, Split
from genmint.data.splitting.fingerprints import Fingerprints

Labels = npt.NDArray[np.int64]

# Metrics store a probability per sample and class: 25,000 samples would take 2 GB.
_MOST_CLASSES = 10_000
# Items created at a time: 10 MB of 28×28.
_ROWS = 4096


def joint_names(names: Sequence[str], channels: int) -> tuple[str, ...]:
    """Return the class names of stacks, in the order of their numbers: "000", "001", …, "999".

    Names of different lengths are joined by `+`, so that "1" and "11" differ from "11" and "1".

    Args:
        names: class names of single images, K of them.
        channels: images per stack, C.

    Returns:
        K to the power of C names.

    Raises:
        DataError: there are too many classes.
    """
    number = len(names) ** channels
    if number > _MOST_CLASSES:
        raise DataError(
            f"{len(names)} labels in {channels} channels make {number:,} classes, more than "
            f"{_MOST_CLASSES:,}: use a data set of fewer labels, or leave stack out"
        )
    between = "" if len({len(name) for name in names}) == 1 else "+"
    return tuple(between.join(parts) for parts in itertools.product(names, repeat=channels))


def joint_labels(labels: Labels, classes: int) -> Labels:
    """Return the class numbers of stacks, int64 N, from those of their channels, int64 N×C.

    The channel classes are digits to the base `classes`, the first channel being the most
    significant.
    """
    joint = np.zeros(len(labels), dtype=np.int64)
    for channel in labels.T:
        joint = joint * classes + channel
    return joint


def single_labels(labels: Labels, classes: int, channels: int) -> Labels:
    """Return the class numbers of the channels, int64 N×C; the inverse of `joint_labels`."""
    powers = classes ** np.arange(channels - 1, -1, -1)
    return labels[:, None] // powers % classes


def stacks_of(singles: Mapping[Split, int], items: int) -> dict[Split, int]:
    """Return the number of stacks per split: `items` in train, in proportion to images elsewhere.

    A split with images gets at least one stack, an empty split none.

    Args:
        singles: number of images of each split, at least one in train.
        items: number of stacks in the training split.
    """
    share = items / singles["train"]
    return {split: max(round(n * share), 1) if n else 0 for split, n in singles.items()}


def pack_stacks(
    folder: Path, singles: Path, counts: Mapping[Split, int], stack: Stack, classes: int
) -> dict[str, str]:
    """Write `{split}.npy` and `{split}.labels.npy` of stacks of random images.

    Each channel of a stack is drawn independently from the images of the same split. Each split has
    its own random generator.

    Args:
        folder: target folder.
        singles: folder with the same files for single images, uint8 M×1×H×W and int64 M, and their
            origins.
        counts: number of stacks of each split.
        stack: number of channels, and seed.
        classes: number of classes of single images.

    Returns:
        sha256 of each file by name; the arrays are uint8 N×C×H×W and int64 N.
    """
    with writers(folder) as arrays:
        for number, split in enumerate(SPLITS):
            pictures = _load(singles / f"{split}.npy")
            labels = _load(singles / f"{split}.labels.npy")
            count = counts[split]
            data = arrays.add(split, (count, stack.channels, *pictures.shape[2:]), "|u1")
            numbers = arrays.add(f"{split}.labels", (count,), "<i8")
            generator = np.random.default_rng([stack.seed, number])
            # At least 1, for a split that is switched off, from which nothing is drawn.
            chosen = generator.integers(max(1, len(pictures)), size=(count, stack.channels))
            for start in range(0, count, _ROWS):
                rows = chosen[start : start + _ROWS]
                data.write(pictures[rows, 0])
                numbers.write(joint_labels(labels[rows], classes))
            if split in HELD_OUT:
                single = _load(singles / f"{split}.origins.npy")
                add_origins(arrays, split, _origins(chosen, single))
        add_trained(arrays, _load(singles / TRAINED))
        return arrays.close()


def _origins(chosen: Labels, single: Fingerprints) -> Fingerprints:
    """Return the origins of stacks, uint64 K×2.

    `chosen` holds the images of each stack, int64 N×C, and `single` the images' origins.
    """
    first, last = (np.searchsorted(single[:, 0], chosen, side) for side in ("left", "right"))
    pairs = [
        (row, value)
        for row in range(len(chosen))
        for begin, end in zip(first[row].tolist(), last[row].tolist(), strict=True)
        for value in single[begin:end, 1].tolist()
    ]
    return np.array(pairs, dtype=np.uint64).reshape(-1, 2)


def _load(path: Path) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
