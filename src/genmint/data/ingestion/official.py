"""Official splits of a folder: recognition of their names and folders."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from genmint.common.errors import DataError
from genmint.config import Dataset

if TYPE_CHECKING:
    from genmint.data.prepared import Split

# Common names in lower case. "eval" means validation: a set with a test split has it, and in a set
# without one the test split is cut from train.
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
    """Return the split that a folder or part of a file name stands for (Val, test_set), or None."""
    lower = name.strip().lower()
    return _NAMES.get(lower) or _NAMES.get(_SET.sub("", lower))


def split_folders(paths: Iterable[str]) -> list[str]:
    """Return those top-level folders of the paths that are splits rather than classes, sorted.

    They count as splits if several of them are different splits, or if there are no other folders.
    A class may be called train, beside car and plane.

    Args:
        paths: paths relative to the folder of a data set.
    """
    folders = sorted({path.partition("/")[0] for path in paths if "/" in path})
    known = [folder for folder in folders if split_named(folder)]
    splits = {split_named(folder) for folder in known}
    return known if len(splits) > 1 or len(known) == len(folders) else []


def check_split_folders(name: str, dataset: Dataset, paths: Iterable[str]) -> str:
    """Detect split folders (train/cat … test/cat), which `labels: folder` would treat as classes.

    Args:
        name: name of the data set.
        dataset: data set entry.
        paths: paths of the items, relative to the folder of the data set.

    Returns:
        A warning about split folders that a split by hash would mix; or "".

    Raises:
        DataError: labels is `folder`; the message gives settings that read splits and labels from
            the folders.
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
    """Return a filename_pattern for SPLIT/LABEL/…/NAME, or SPLIT/…/NAME, with these splits."""
    splits = "|".join(re.escape(folder) for folder in folders)
    return f"(?P<split>{splits})/(?P<label>[^/]+)/.+" if labels else f"(?P<split>{splits})/.+"
