"""Licence of the data that a model was trained on, as far as it is known."""

from __future__ import annotations

from pathlib import Path

from genmint.common.errors import GenmintError
from genmint.common.project import Project
from genmint.common.reading import read_yaml

# Built-in and named data sets by `source`; data/README.md has the whole references.
LICENCES = {
    "digits": "CC BY 4.0 (E. Alpaydin and C. Kaynak, doi 10.24432/C50P49)",
    "mnist-test": "CC BY-SA 3.0 (Y. LeCun, C. Cortes, C. Burges)",
    "python-docs": "PSF License Version 2 (Python Software Foundation)",
    "notes": "Apache-2.0 (synthesised by genmint)",
    "mnist": "CC BY-SA 3.0 (Y. LeCun, C. Cortes, C. Burges)",
    "tiny-shakespeare": "public domain (collected by A. Karpathy)",
}
# Names of files with a licence in a folder of data, without their endings.
_FILES = ("license", "licence", "copying")


def licence_of(project: Project, evaluation: Project, dataset: str) -> str:
    """Return the licence of a data set in one line, or that none is recorded.

    Args:
        project: project in which data sets are described.
        evaluation: evaluation files of a version, with the params.yaml of that version.
        dataset: name of the data set entry.
    """
    path = _path_of(evaluation, dataset)
    unknown = "not recorded: state the licence of your data here"
    if path is None:
        return unknown
    location = project.root / path
    if location.suffix in (".yaml", ".yml"):
        source = _source_of(location)
        return LICENCES.get(source, unknown)
    try:
        names = sorted(each.name for each in location.iterdir() if each.stem.lower() in _FILES)
    except OSError:
        names = []
    return f"see {names[0]} in the folder of the data" if names else unknown


def _path_of(evaluation: Project, dataset: str) -> str | None:
    """Return the path of a data set in the stored params.yaml, None if it cannot be read."""
    try:
        params = read_yaml(evaluation.params)
    except GenmintError:
        return None
    datasets = params.get("datasets") if isinstance(params, dict) else None
    entry = datasets.get(dataset) if isinstance(datasets, dict) else None
    path = entry.get("path") if isinstance(entry, dict) else None
    return path if isinstance(path, str) else None


def _source_of(description: Path) -> str:
    try:
        content = read_yaml(description)
    except GenmintError:
        return ""
    return str(content.get("source")) if isinstance(content, dict) else ""
