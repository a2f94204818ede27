"""Stacking: pictures of one split as the channels of new ones, for classes by the thousand.

Three random digits as red, green and blue have 1,000 classes, all about as frequent, which a
classifier of single digits tells: how many of them a generator draws says how far it has collapsed
(stacked MNIST: Metz et al. 2017; Srivastava et al. 2017, VEEGAN; Lin et al. 2018, PacGAN).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genmint.config.datasets import Stack
from genmint.data.packing import writers
from genmint.data.prepared import SPLITS, Split
from genmint.errors import DataError

Labels = npt.NDArray[np.int64]

# Metrics hold a probability for each sample and class: 25,000 samples would take 2 GB.
_MOST_CLASSES = 10_000
# Items made at a time: 10 MB of 28×28.
_ROWS = 4096


def joint_names(names: Sequence[str], channels: int) -> tuple[str, ...]:
    """Names of the classes of stacks, in the order of their numbers: "000", "001", …, "999".

    Names of different lengths have a `+` between them, since "1" and "11" is not "11" and "1".

    Args:
        names: of the classes of single pictures, K of them.
        channels: pictures of a stack, C.

    Returns:
        K to the power of C names.

    Raises:
        DataError: there are too many.
    """
    found = len(names) ** channels
    if found > _MOST_CLASSES:
        raise DataError(
            f"{len(names)} labels in {channels} channels make {found:,} classes, more than "
            f"{_MOST_CLASSES:,}: use a data set of fewer labels, or leave stack out"
        )
    between = "" if len({len(name) for name in names}) == 1 else "+"
    return tuple(between.join(parts) for parts in itertools.product(names, repeat=channels))


def joint_labels(labels: Labels, classes: int) -> Labels:
    """Class numbers of stacks, int64 N, from those of their channels, int64 N×C.

    The digits of a number to the base `classes`, the first channel counting most.
    """
    joint = np.zeros(len(labels), dtype=np.int64)
    for channel in labels.T:
        joint = joint * classes + channel
    return joint


def single_labels(labels: Labels, classes: int, channels: int) -> Labels:
    """Class numbers of the channels, int64 N×C: undoes `joint_labels`."""
    powers = classes ** np.arange(channels - 1, -1, -1)
    return labels[:, None] // powers % classes


def stacks_of(singles: Mapping[Split, int], items: int) -> dict[Split, int]:
    """How many stacks each split gets: `items` in train, as many a picture in the others.

    At least one where there is a picture, none where there is none.

    Args:
        singles: pictures of each split, at least one in train.
        items: stacks of the training split.
    """
    share = items / singles["train"]
    return {split: max(round(n * share), 1) if n else 0 for split, n in singles.items()}


def pack_stacks(
    folder: Path, singles: Path, counts: Mapping[Split, int], stack: Stack, classes: int
) -> dict[str, str]:
    """Write `{split}.npy` and `{split}.labels.npy` of stacks of random pictures.

    Each channel of each stack is drawn by itself from all pictures of its own split, so that none
    of another split gets in. Splits have draws of their own.

    Args:
        folder: where to.
        singles: folder of the same files of single pictures, uint8 M×1×H×W and int64 M.
        counts: stacks of each split.
        stack: number of channels, seed.
        classes: of single pictures.

    Returns:
        sha256 of each file by its name; the arrays are uint8 N×C×H×W and int64 N.
    """
    with writers(folder) as arrays:
        for number, split in enumerate(SPLITS):
            pictures = _load(singles / f"{split}.npy")
            labels = _load(singles / f"{split}.labels.npy")
            count = counts[split]
            data = arrays.add(split, (count, stack.channels, *pictures.shape[2:]), "|u1")
            numbers = arrays.add(f"{split}.labels", (count,), "<i8")
            generator = np.random.default_rng([stack.seed, number])
            # The 1 is for a split that is switched off: nothing is drawn from it.
            chosen = generator.integers(max(1, len(pictures)), size=(count, stack.channels))
            for start in range(0, count, _ROWS):
                rows = chosen[start : start + _ROWS]
                data.write(pictures[rows, 0])
                numbers.write(joint_labels(labels[rows], classes))
        return arrays.close()


def _load(path: Path) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
