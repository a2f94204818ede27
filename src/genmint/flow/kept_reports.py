"""Copies of validation reports from a temporary checkout, so that error messages can name them."""

from __future__ import annotations

import shutil
from pathlib import Path

from genmint.common.files import atomic_dir
from genmint.common.project import Project


def keep_validation(checkout: Project, dataset: str, kept: Path, message: str) -> str:
    """Copy the quarantine list and the validation page of a data set that failed validation.

    Args:
        checkout: project in which the validation ran.
        dataset: name of the data set.
        kept: target folder for `quarantine.csv` and `validation.html`; earlier content is replaced.
        message: error message of the validation, which names files of the checkout.

    Returns:
        The message with the paths of the copies.
    """
    with atomic_dir(kept) as folder:
        for path, copy in (
            (checkout.quarantine(dataset), folder / "quarantine.csv"),
            (checkout.validation_page(dataset), folder / "validation.html"),
        ):
            if path.exists():
                shutil.copyfile(path, copy)
            message = message.replace(str(path), str(kept / copy.name))
    return message
