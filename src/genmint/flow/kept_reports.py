"""Validation reports of a checkout that goes away, kept where its error message can name them."""

from __future__ import annotations

import shutil
from pathlib import Path

from genmint.files import atomic_dir
from genmint.project import Project


def keep_validation(checkout: Project, dataset: str, kept: Path, message: str) -> str:
    """Copy the quarantine list and the Data Docs of a data set that may not enter.

    Args:
        checkout: that the validation ran in.
        dataset: its name.
        kept: folder for `quarantine.csv` and `docs/`; what it held before is replaced.
        message: the error of the validation, which names files of the checkout.

    Returns:
        The message, naming the copies.
    """
    with atomic_dir(kept) as folder:
        for path, copy in (
            (checkout.quarantine(dataset), folder / "quarantine.csv"),
            (checkout.data_docs(dataset), folder / "docs"),
        ):
            if path.is_dir():
                shutil.copytree(path, copy)
            elif path.exists():
                shutil.copyfile(path, copy)
            message = message.replace(str(path), str(kept / copy.name))
    return message
