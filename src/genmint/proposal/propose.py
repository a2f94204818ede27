"""From a path to entries for params.yaml."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from genmint.common.errors import ConfigError, DataError
from genmint.common.project import Project
from genmint.config import Dataset, ImageDataset, TextDataset, load_params
from genmint.config.base import Kind
from genmint.config.params import ENTRY_NAME
from genmint.config.recipe import Insertion, insert_entries
from genmint.data.ingestion.content_store import content_stores
from genmint.data.ingestion.locate import existing_source, source_path
from genmint.data.ingestion.readers import UnreadableError, item_reader_of
from genmint.data.ingestion.sources import Stores
from genmint.proposal import models
from genmint.proposal.content import list_content
from genmint.proposal.datasets import dataset_entry, first_entry, parsed_entry, read_as
from genmint.proposal.entry_text import EntryKey, ParamsEntry, document
from genmint.proposal.gates import gate_entry
from genmint.proposal.overview import overview
from genmint.proposal.sizing import (
    Amounts,
    Sized,
    amounts_of,
    extractor_epochs,
    model_seconds,
    size,
    spec_of,
)
from genmint.proposal.structure import structure_of
from genmint.proposal.survey import PEEK, Survey, read_rows, survey
from genmint.training.idle_clock import IdleClock

# Longest ending of a model's name: a hyphen and its family.
_LONGEST_NAME = 63 - len("-rnn")
# Share of pixels near black or white from which an image is a drawing on a plain ground.
_BINARY = 0.85
_NEAR = 32
# Share of the time that other programs may keep the cores busy without a remark.
_BUSY = 0.2


@dataclass(frozen=True)
class EntryProposal:
    """Entries for params.yaml, which are not written yet.

    Attributes:
        overview: what the files are.
        notes: remarks on the entries, one line each.
        insertion: text of params.yaml with the entries.
        models: names of the models.
        kind: kind of the data.
    """

    overview: str
    notes: tuple[str, ...]
    insertion: Insertion
    models: tuple[str, ...]
    kind: Kind

    def commands(self) -> list[str]:
        """Return the commands from the written entries to samples of a champion."""
        first, ending = self.models[0], {"image": "png", "audio": "wav", "text": "txt"}[self.kind]
        return [
            f"dvc repro {' '.join(f'gate@{model}' for model in self.models)}",
            f"genmint promote {' '.join(self.models)}",
            f"genmint sample {first}@champion -n 16 --out {first}.{ending}",
        ]


@dataclass(frozen=True)
class Wishes:
    """What the user asks for.

    Attributes:
        name: name of the data set; None for that of the folder.
        families: families of the models; empty for all that fit.
        minutes: time budget of all stages on this machine.
        kind: kind of the items; None for that of nearly all files.
    """

    name: str | None
    families: tuple[str, ...]
    minutes: float
    kind: Kind | None


def propose(
    project: Project, path: str, wishes: Wishes, report: Callable[[str], object]
) -> EntryProposal:
    """Survey the files of a path and propose entries for them.

    Args:
        project: project whose params.yaml gets the entries.
        path: folder or file, relative to the working folder or absolute.
        wishes: what the user asks for.
        report: called with a line of text at each step.

    Raises:
        ConfigError: an entry of the name exists, the files are of several kinds, or a family does
            not fit them.
        DataError: there are no usable files, or they cannot be read.
    """
    location, name = _located(project, path), wishes.name or _name_of(path)
    _refuse_existing(project, name, wishes.families)
    written = _as_written(project, location)
    source_path(project, name, written)
    real = existing_source(project, name, written)
    stores = content_stores(project, real)
    report(f"counting the files of {real}")
    content = list_content(real, wishes.kind, stores)
    structure = structure_of(content.paths, content.kind)
    first = first_entry(name, written, content, structure)
    rows = read_rows(content, first, stores, PEEK)
    read = read_as(name, first, rows, wishes.minutes, len(content.paths))
    report(f"reading {content}")
    known = survey(project, content, read, stores)
    clock = IdleClock()
    entry = _with_reference(dataset_entry(name, known, structure), known, wishes.minutes)
    dataset = parsed_entry(entry)
    sized, notes = _sized(name, dataset, known, stores, wishes, report)
    entries = [one.candidate.entry(f"{name}-{one.candidate.family}", name, one.steps)
               for one in sized]  # fmt: skip
    notes += _of_time(entries, sized, clock.busy)
    described = [_described(each, one) for each, one in zip(entries, sized, strict=True)]
    gates = [
        gate_entry(each.name, one.candidate.config(name, one.steps), dataset)
        for each, one in zip(entries, sized, strict=True)
    ]
    text = document({"datasets": [entry], "models": described, "gates": gates})
    insertion = insert_entries(project, text, project.root / "the proposal")
    names = tuple(each.name for each in entries)
    about = overview(known, structure)
    return EntryProposal(about, tuple(notes), insertion, names, content.kind)


def _located(project: Project, path: str) -> Path:
    """Return the absolute path; its last links are kept, since DVC records the path as written.

    Raises:
        DataError: there is no such file or folder.
    """
    location = Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - no links
    keeper = location.parent / f"{location.name}.dvc"
    if not os.path.lexists(location) and not keeper.is_file():
        raise DataError(f"{path}: no such file or folder")
    return location


def _as_written(project: Project, location: Path) -> str:
    root = project.root.resolve()
    for inside in (location, Path(os.path.realpath(location.parent)) / location.name):
        if inside.is_relative_to(root):
            return inside.relative_to(root).as_posix()
    return str(location)


def _name_of(path: str) -> str:
    """Return a name of an entry from the name of a folder or file."""
    location = Path(os.path.abspath(path))  # noqa: PTH100 - a folder may be given as .
    # Only the name of a file has an ending: photos.v2 is a folder.
    stem = location.stem if location.is_file() else location.name
    name = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    if not name or not name[0].isalpha():
        name = f"data-{name}".rstrip("-")
    return name[:_LONGEST_NAME].rstrip("-")


def _refuse_existing(project: Project, name: str, families: Sequence[str]) -> None:
    if not re.fullmatch(ENTRY_NAME, name) or len(name) > _LONGEST_NAME:
        raise ConfigError(
            f"--name {name!r}: lower-case letters, digits and hyphens, a letter first, at most "
            f"{_LONGEST_NAME} characters"
        )
    params = load_params(project.params)
    names = [f"{name}-{family}" for family in families or models.SHARES]
    taken = [f"datasets.{name}"] if name in params.datasets else []
    taken += [f"models.{each}" for each in names if each in params.models]
    taken += [f"gates.{each}" for each in names if each in params.gates]
    if taken:
        free = next(
            f"{name}-{number}" for number in range(2, 10_000)
            if f"{name}-{number}" not in params.datasets
        )  # fmt: skip
        raise ConfigError(
            f"params.yaml: {taken[0]} is there already and is never overwritten; give another "
            f"name, --name {free}, or remove it from params.yaml"
        )


def _sized(
    name: str,
    dataset: Dataset,
    known: Survey,
    stores: Stores,
    wishes: Wishes,
    report: Callable[[str], object],
) -> tuple[list[Sized], list[str]]:
    """Return a sized network for each family, and remarks."""
    symbols = max(known.column("charset")) if dataset.kind == "text" else 256
    specs = partial(spec_of, name, dataset, symbols=symbols)
    fitting = models.fitting_families(dataset, specs("sequence"))
    for family in wishes.families:
        if fitting[family]:
            raise ConfigError(f"--family {family}: {fitting[family]}; leave it out")
    families = wishes.families or tuple(family for family, why in fitting.items() if not why)
    notes = [
        f"no {family}: {why}" for family, why in fitting.items() if why and not wishes.families
    ]
    amounts = _amounts(dataset, known)
    binary = isinstance(dataset, ImageDataset) and _is_binary(known, dataset, stores)
    seconds = model_seconds(wishes.minutes, len(families))
    total = sum(models.SHARES[family] for family in families)
    sized, clock = [], IdleClock()
    for family in families:
        report(f"timing training steps of {name}-{family}")
        options = models.candidates(family, dataset, amounts.train, binary=binary)
        own = seconds * models.SHARES[family] / total
        sized.append(size(options, name, specs, dataset, amounts, own, clock))
    return sized, notes


def _with_reference(entry: ParamsEntry, known: Survey, minutes: float) -> ParamsEntry:
    """Return the data set entry with the passes of the feature extractor, if they must be few."""
    dataset = parsed_entry(entry)
    if isinstance(dataset, TextDataset):
        return entry
    epochs = extractor_epochs(dataset, _amounts(dataset, known).train, minutes)
    if epochs >= dataset.reference.epochs:
        return entry
    why = "passes of the feature extractor that fit into the time"
    *settings, protocol = entry.settings
    reference = EntryKey("reference", {"epochs": epochs}, why)
    return replace(entry, settings=(*settings, reference, protocol))


def _amounts(dataset: Dataset, known: Survey) -> Amounts:
    """Return the sizes of the splits; clips of recordings are estimated from their lengths."""
    read = max(1, len(known.accepted))
    if isinstance(dataset, TextDataset):
        return amounts_of(dataset, round(sum(known.column("characters")) * known.items / read))
    if "windows" in known.accepted.column_names:
        return amounts_of(dataset, round(sum(known.column("windows")) * known.items / read))
    return amounts_of(dataset, known.items)


def _is_binary(known: Survey, dataset: ImageDataset, stores: Stores) -> bool:
    """Return whether nearly all pixels of grey images are black or white."""
    if dataset.mode != "grey":
        return False
    reader = item_reader_of(dataset)
    root = known.content.path
    pixels = []
    for path in known.column("path")[:PEEK]:
        try:
            pixels.append(reader.load(root / path))
        except (UnreadableError, OSError):
            continue
    if not pixels:
        return False
    values = np.concatenate(pixels)
    return float(((values <= _NEAR) | (values >= 255 - _NEAR)).mean()) >= _BINARY


def _of_time(entries: Sequence[ParamsEntry], sized: Sequence[Sized], busy: float) -> list[str]:
    """Return remarks on a busy machine and on models that have too little time."""
    notes = []
    if busy > _BUSY:
        notes.append(
            f"other programs kept the cores busy for {busy:.0%} of the time; the models are "
            "sized for this machine without them, and take longer beside them"
        )
    notes += [
        f"{each.name}: {one.passes:.2g} passes over the training items fit into the time, and less "
        "than one teaches little; give more with --minutes"
        for each, one in zip(entries, sized, strict=True)
        if one.passes < 1
    ]
    return notes


def _described(entry: ParamsEntry, one: Sized) -> ParamsEntry:
    """Return the model entry with the measured speed as its comment."""
    minutes = (one.train_seconds + one.evaluate_seconds) / 60
    why = (
        f"{one.steps_per_second:.3g} steps a second here: {one.steps:,} steps, {one.passes:.3g} "
        f"passes, about {minutes:.1f} minutes with evaluate."
    )
    return ParamsEntry(entry.name, entry.settings, why)
