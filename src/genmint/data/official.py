"""Splits that a folder brings itself: what they are called, and how to notice them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from genmint.config import Dataset
from genmint.errors import DataError

if TYPE_CHECKING:
    from genmint.data.prepared import Split

# What people call them, in lower case. "eval" is validation where a set has a test split, and a set
# without one has its test cut from train.
_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "devel": "validation",
    "development": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "test": "test",
    "testing": "test",
    "tst": "test",
    "holdout": "test",
    "confirmation": "confirmation",
}
_SET = re.compile(r"[ _-]?(set|data|split|images?|clips?|texts?)$")


def split_named(name: str) -> Split | None:
    """The split that a folder or a part of a file name stands for, or None: Val, dev, test_set."""
    lower = name.strip().lower()
    return _NAMES.get(lower) or _NAMES.get(_SET.sub("", lower))


def split_folders(paths: Iterable[str]) -> list[str]:
    """First folders of the paths that are splits rather than classes, sorted; or none.

    They are where several of them are different splits, or where there are no other folders: a
    class may be called train, beside car and plane.

    Args:
        paths: relative to the folder of a data set.
    """
    folders = sorted({path.partition("/")[0] for path in paths if "/" in path})
    known = [folder for folder in folders if split_named(folder)]
    splits = {split_named(folder) for folder in known}
    return known if len(splits) > 1 or len(known) == len(folders) else []


def check_split_folders(name: str, dataset: Dataset, paths: Iterable[str]) -> str:
    """Look for train/cat … test/cat, which `labels: folder` would make the classes train and test.

    Args:
        name: of the data set.
        dataset: its entry.
        paths: of the items, relative to its folder.

    Returns:
        What to tell the user of folders that a split by hash mixes; or "".

    Raises:
        DataError: labels: folder; with the settings that take splits and labels from these folders.
    """
    known = split_folders(paths)
    pattern = dataset.filename_pattern or ""
    if not known or "(?P<split>" in pattern:
        return ""
    if dataset.labels == "folder":
        raise DataError(
            f"datasets.{name}.labels: folder takes the first folder of each path for its class, "
            f"and here these are splits ({', '.join(known)}). Set labels: filename and split: "
            f"official and filename_pattern: {pattern_for(known)}"
        )
    if dataset.split == "official" or pattern:
        return ""
    return (
        f"{name}: the folders {', '.join(known)} look like splits, and split: {dataset.split} "
        "mixes them. To keep them, set split: official and filename_pattern: "
        f"{pattern_for(known, labels=False)}"
    )


def pattern_for(folders: Iterable[str], *, labels: bool = True) -> str:
    """A filename_pattern for SPLIT/LABEL/…/NAME, or SPLIT/…/NAME, with these folders as splits."""
    splits = "|".join(re.escape(folder) for folder in folders)
    return f"(?P<split>{splits})/(?P<label>[^/]+)/.+" if labels else f"(?P<split>{splits})/.+"
