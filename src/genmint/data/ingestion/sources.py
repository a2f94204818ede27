"""Sources of data sets: built-in, named, or a user-provided folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, ValidationError

from genmint.common.errors import ConfigError, DataError
from genmint.common.files import write_json
from genmint.common.project import Project
from genmint.common.reading import read_yaml
from genmint.config import AudioDataset, Dataset, ImageDataset, TextDataset
from genmint.config.base import Frozen, PositiveInt, Seed, first_problem
from genmint.data.arrays import load_array
from genmint.data.ingestion import notes
from genmint.data.ingestion.content_store import content_stores
from genmint.data.ingestion.fetch import RemoteFile, fetch
from genmint.data.ingestion.items import ArrayItems, ArrayPart, FileItems, Items
from genmint.data.ingestion.left_out import sentence
from genmint.data.ingestion.locate import existing_source
from genmint.data.ingestion.mnist import Mnist, MnistSource, MnistTest, MnistTestSource
from genmint.data.ingestion.pointers import refuse_absent
from genmint.data.ingestion.readers import item_reader_of, reader_of

# Suffixes of files that describe a built-in or named data set.
DESCRIPTIONS = (".yaml", ".yml")

# Minimum lengths in characters. Shorter paragraphs are headings and signatures, which stay with
# their topic. A shorter topic makes no sense without the paragraphs that were removed from it.
_PARAGRAPH = 40
_TOPIC = 300


# Returns the content stores that links may point into.
Stores = Callable[[], tuple[Path, ...]]


class DigitsSource(Frozen):
    """scikit-learn's 1,797 handwritten digits."""

    source: Literal["digits"]


class PythonDocsSource(Frozen):
    """CPython's language documentation for help()."""

    source: Literal["python-docs"]


class NotesSource(Frozen):
    """Synthesised plucked strings."""

    source: Literal["notes"]
    clips: PositiveInt
    seed: Seed


class TinyShakespeareSource(Frozen):
    """A single text."""

    source: Literal["tiny-shakespeare"]
    files: Annotated[tuple[RemoteFile, ...], Field(min_length=1, max_length=1)]


Description = Annotated[
    DigitsSource
    | MnistTestSource
    | PythonDocsSource
    | NotesSource
    | MnistSource
    | TinyShakespeareSource,
    Field(discriminator="source"),
]


class Source(Protocol):
    """Prepares data/raw/NAME for a data set, and returns its items."""

    def materialise(self, folder: Path) -> None:
        """Download or generate the data in `folder`; a user-provided folder is left in place.

        Raises:
            DataError: the data are not available, or are not the expected ones.
        """

    def items(self, folder: Path) -> Items:
        """Return the items, given the folder filled by `materialise`."""


def open_source(project: Project, name: str, dataset: Dataset) -> Source:
    """Return the source for `path` of a data set.

    Raises:
        ConfigError: the description is invalid, or does not match the data set entry.
        DataError: `path` does not exist.
    """
    path = existing_source(project, name, dataset.path)
    stores = content_stores(project, path)
    if path.is_dir() or path.suffix not in DESCRIPTIONS:
        return _own(path, name, dataset, stores)
    description = read_description(path)
    if dataset.labels in ("folder", "filename"):
        raise ConfigError(
            f"datasets.{name}.labels: {dataset.labels} is for folders of files; "
            f"{description.source} knows its labels: use source or none"
        )
    if dataset.filename_pattern is not None:
        raise ConfigError(f"datasets.{name}.filename_pattern: {description.source} has no files")
    return _described(description, name, dataset, path.parent, stores)


def own_files(path: Path, dataset: Dataset, stores: Stores) -> FileItems:
    """Return the items of a folder or a single file, possibly none.

    Raises:
        DataError: some items are absent: only their pointers exist.
    """
    root, only = (path, None) if path.is_dir() else (path.parent, path.name)
    items = FileItems(root, dataset, stores, only=only)
    refuse_absent(path, items.absent, f"{dataset.kind} files")
    return items


def read_description(path: Path) -> Description:
    """Read a file of data/sources.

    Raises:
        ConfigError: the file is invalid; the message names file and key.
    """
    adapter: TypeAdapter[Description] = TypeAdapter(Description)
    document = read_yaml(path)
    try:
        return adapter.validate_json(json.dumps(document))
    except ValidationError as error:
        location, problem = first_problem(error)
        # The first part of the location is the tag of the union, which is not a key of the file.
        key = location.partition(".")[2] or "source"
        raise ConfigError(f"{path}: {key}: {problem}") from None


def _own(path: Path, name: str, dataset: Dataset, stores: Stores) -> Source:
    if dataset.labels == "source":
        raise ConfigError(
            f"datasets.{name}.labels: source is for built-in and named sets; a folder has labels "
            "by folder, by filename, or none"
        )
    return OwnFiles(path, dataset, stores)


def _described(
    description: Description, name: str, dataset: Dataset, base: Path, stores: Stores
) -> Source:
    kind = "audio" if description.source == "notes" else "text"
    kind = "image" if description.source in ("digits", "mnist-test", "mnist") else kind
    if dataset.kind != kind:
        raise ConfigError(f"datasets.{name}.kind: {description.source} is {kind}")
    if isinstance(dataset, TextDataset):
        if dataset.labels != "none":
            raise ConfigError(f"datasets.{name}.labels: {description.source} has none: use none")
        if isinstance(description, PythonDocsSource):
            return PythonDocs(dataset, stores)
        assert isinstance(description, TinyShakespeareSource)
        return TinyShakespeare(dataset, description, stores)
    if isinstance(dataset, AudioDataset):
        assert isinstance(description, NotesSource)
        return Notes(dataset, description)
    if isinstance(description, DigitsSource):
        return Digits(dataset)
    if isinstance(description, MnistTestSource):
        return MnistTest(dataset, description, base)
    assert isinstance(description, MnistSource)
    return Mnist(dataset, description)


@dataclass(frozen=True)
class OwnFiles:
    """A user-provided folder, or a single file."""

    path: Path
    dataset: Dataset
    stores: Stores

    def materialise(self, folder: Path) -> None:
        """Record that nothing was copied, since DVC requires a non-empty folder."""
        write_json(folder / "source.json", {"source": "own"})

    def items(self, folder: Path) -> FileItems:
        """Return the files with suffixes of the data set's kind.

        Raises:
            DataError: there are none, or some are absent: only their pointers exist.
        """
        suffixes = reader_of(self.dataset).suffixes
        if self.path.is_file() and self.path.suffix.lower() not in suffixes:
            raise DataError(f"{self.path}: not one of {', '.join(suffixes)}")
        files = own_files(self.path, self.dataset, self.stores)
        if not files.paths():
            others = sentence(files.left_out)
            raise DataError(
                f"{self.path}: no {self.dataset.kind} files in this folder "
                f"({', '.join(suffixes)}){f'; {others}' if others else ''}. "
                "Put some there, or correct the path in params.yaml."
            )
        return files


@dataclass(frozen=True)
class Digits:
    """1,797 labelled grey 8×8 digits by E. Alpaydin and C. Kaynak (1998)."""

    dataset: ImageDataset

    def materialise(self, folder: Path) -> None:
        """Write digits.npy (uint8 N×8×8) and labels.npy."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        # Scales 0…16 to 0…255; exact, since 255/16 is exact in binary.
        pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        _save_arrays(folder, "digits", pixels, [str(target) for target in digits.target])

    def items(self, folder: Path) -> ArrayItems:
        """Return the rows of digits.npy."""
        return _array_items(folder, "digits", self.dataset)


@dataclass(frozen=True)
class Notes:
    """Synthesised plucked strings with the sample rate and length of the data set."""

    dataset: AudioDataset
    description: NotesSource

    def materialise(self, folder: Path) -> None:
        """Write notes.npy (int16 N×T) and labels.npy.

        Raises:
            DataError: the sample rate is too low for the highest note.
        """
        rate = self.dataset.sample_rate
        if rate < 6 * max(notes.NOTES.values()):
            raise DataError(f"notes need a sample_rate of at least 4000 Hz, not {rate}")
        clips, labels = notes.synthesise(
            self.description.clips, self.description.seed, rate, self.dataset.samples_per_clip
        )
        _save_arrays(folder, "notes", clips, labels)

    def items(self, folder: Path) -> ArrayItems:
        """Return the rows of notes.npy."""
        return _array_items(folder, "notes", self.dataset)


@dataclass(frozen=True)
class PythonDocs:
    """Topics of pydoc_data.topics, one document each; they depend on the Python version.

    A fifth of the text occurs twice: `compound` contains all of `if`. If the copies were in
    different splits, the test split would contain training data. A paragraph is therefore kept in
    the first topic that has it, and topics with little remaining text are left out.
    """

    dataset: TextDataset
    stores: Stores

    def materialise(self, folder: Path) -> None:
        """Write documents/TOPIC.txt."""
        from pydoc_data.topics import topics

        documents = folder / "documents"
        documents.mkdir()
        seen: set[str] = set()
        for topic, text in topics.items():
            fresh = []
            for paragraph in text.split("\n\n"):
                if len(paragraph) < _PARAGRAPH or paragraph not in seen:
                    fresh.append(paragraph)
                seen.add(paragraph)
            kept = "\n\n".join(fresh)
            if len(kept) >= _TOPIC:
                (documents / f"{topic}.txt").write_text(kept, encoding="utf-8", newline="\n")

    def items(self, folder: Path) -> FileItems:
        """Return the documents."""
        return FileItems((folder / "documents").resolve(), self.dataset, self.stores)


@dataclass(frozen=True)
class TinyShakespeare:
    """A single text of 1,115,394 characters."""

    dataset: TextDataset
    description: TinyShakespeareSource
    stores: Stores

    def materialise(self, folder: Path) -> None:
        """Download the text."""
        fetch(self.description.files[0], folder)

    def items(self, folder: Path) -> FileItems:
        """Return the document."""
        name = self.description.files[0].name
        return FileItems(folder.resolve(), self.dataset, self.stores, only=name)


def _save_arrays(folder: Path, name: str, rows: npt.NDArray[Any], labels: list[str]) -> None:
    np.save(folder / f"{name}.npy", rows, allow_pickle=False)
    np.save(folder / "labels.npy", np.array(labels, dtype=np.str_), allow_pickle=False)


def _array_items(folder: Path, name: str, dataset: ImageDataset | AudioDataset) -> ArrayItems:
    way_out = f"Run `dvc repro -f ingest@{folder.name}`."
    rows = load_array(folder / f"{name}.npy", way_out, mapped=True)
    labels = load_array(folder / "labels.npy", way_out)
    part = ArrayPart(name, rows, labels if dataset.labels == "source" else None, None)
    return ArrayItems((part,), item_reader_of(dataset))
