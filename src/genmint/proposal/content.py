"""Files of a folder: their number, their kind, and what is no item."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from genmint.common.errors import ConfigError, DataError
from genmint.common.escaping import escape_name
from genmint.config.base import Kind
from genmint.data.ingestion.folder import Folder, Listing, Sort
from genmint.data.ingestion.left_out import SUFFIXES, LeftOut, convertible_to, count, sentence
from genmint.data.ingestion.pointers import refuse_absent
from genmint.data.ingestion.sources import Stores

# Share of the files of other kinds that may be left out without a question: a README or a cover.
_BESIDE = 0.05
_FEW = 3
# Number of files after which the count is reported.
_REPORTED = 50_000
_PLURAL = {"image": "images", "audio": "recordings", "text": "texts"}


@dataclass(frozen=True)
class Content:
    """What a folder or a single file holds.

    Attributes:
        path: the folder or the file, with links resolved.
        kind: kind of the items.
        paths: paths of the items relative to the folder, escaped, sorted.
        left_out: counts of all other files.
    """

    path: Path
    kind: Kind
    paths: tuple[str, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def endings(self) -> list[tuple[str, int]]:
        """Endings of the items in lower case with their number, most frequent first."""
        return Counter(_ending(path) for path in self.paths).most_common()

    def __str__(self) -> str:
        endings = ", ".join(f"{number:,} {ending}" for ending, number in self.endings)
        what = _PLURAL[self.kind] if len(self.paths) > 1 else _PLURAL[self.kind].removesuffix("s")
        return f"{len(self.paths):,} {what} ({endings})"


def list_content(path: Path, kind: Kind | None, stores: Stores) -> Content:
    """List the items of a folder, or of a single file.

    Args:
        path: the folder or file, with links resolved.
        kind: kind of the items; None for the kind that nearly all files have.
        stores: returns the content stores that links may point into.

    Raises:
        ConfigError: the files are of several kinds, and `kind` is None.
        DataError: there are no items, some exist only as pointers, a folder cannot be listed, or
            DVC would stop at a file.
    """
    if path.is_file():
        return _single_file(path, kind)
    folder = Folder(path, follow_links=False, stores=stores)
    every = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
    listing = folder.listing(every, kind or "image", _counted)
    numbers = Counter(_kind_of(item) for item in listing.paths)
    numbers.pop(None, None)
    kind = kind or _kind_of_most(path, numbers)
    if kind is None or not numbers[kind]:
        raise DataError(_nothing(folder, kind, listing.left_out))
    if len(numbers) > 1 or listing.left_out:
        listing = folder.listing(SUFFIXES[kind], kind)
    _refuse_what_stops_dvc(folder, listing, kind)
    return Content(path, kind, listing.paths, listing.left_out)


def _single_file(path: Path, kind: Kind | None) -> Content:
    shown, own = escape_name(str(path)), _kind_of(path.name)
    if path.suffix in (".yaml", ".yml"):
        raise ConfigError(
            f"{shown}: a description of a data set, not a file of data; give a folder of images, "
            "audio or text, or see `genmint add`"
        )
    if own is None:
        target = convertible_to(path.suffix.lower()) or kind or "text"
        files = count([("other ending", path.name)], target)
        advice = files[0].advice or f"genmint reads {_readable()}"
        raise DataError(f"{shown}: {path.suffix or 'a file without ending'} is not read; {advice}")
    if own == "image":
        raise DataError(f"{shown}: one image is no data set; give the folder that it is in")
    if kind is not None and kind != own:
        raise ConfigError(f"{shown}: is {own}, not {kind}; leave --kind out")
    return Content(path, own, (escape_name(path.name),), ())


def _counted(entries: Iterator[tuple[str, Sort]]) -> Iterator[tuple[str, Sort]]:
    """Yield the entries, and report on stderr how many there are so far."""
    began = time.perf_counter()
    for number, entry in enumerate(entries, start=1):
        yield entry
        if number % _REPORTED == 0:
            seconds = time.perf_counter() - began
            print(  # noqa: T201 - progress
                f"genmint new: {number:,} files so far ({seconds:.0f} s), counting on",
                file=sys.stderr,
                flush=True,
            )


def _kind_of_most(path: Path, numbers: Counter[Kind | None]) -> Kind | None:
    """Return the kind of the items if the others are few; None without items.

    Raises:
        ConfigError: there are many of several kinds.
    """
    ranked = numbers.most_common()
    if not ranked:
        return None
    kind, others = ranked[0][0], sum(number for _, number in ranked[1:])
    if others > max(_FEW, _BESIDE * numbers.total()) or others >= ranked[0][1]:
        kinds = " and ".join(f"{number:,} {_PLURAL[each or 'text']}" for each, number in ranked)
        raise ConfigError(
            f"{escape_name(str(path))}: holds {kinds}, and a data set is of one kind: give the "
            f"folder of one of them, or --kind {kind} to leave the others out"
        )
    return kind


def _nothing(folder: Folder, kind: Kind | None, left_out: Sequence[LeftOut]) -> str:
    """Return that a folder has no items, with what to do about its other files."""
    shown = escape_name(str(folder.root))
    if not left_out and kind is None:
        return f"{shown}: an empty folder; put {_readable()} there"
    numbers: Counter[Kind] = Counter()
    for each in left_out:
        if (target := convertible_to(each.ending)) is not None:
            numbers[target] += each.files
    likely = kind or (numbers.most_common(1)[0][0] if numbers else "image")
    others = sentence(folder.listing(SUFFIXES[likely], likely).left_out)
    wanted = _readable() if kind is None else f"{kind} ({', '.join(SUFFIXES[kind])})"
    return f"{shown}: no {wanted}{f'; {others}' if others else ''}"


def _refuse_what_stops_dvc(folder: Folder, listing: Listing, kind: Kind) -> None:
    refuse_absent(folder.root, listing.absent, f"{kind} files")
    problems = folder.stops_dvc()
    if problems:
        raise DataError(
            f"{escape_name(str(folder.root))}: `dvc repro` would stop at {'; '.join(problems)}"
        )


def _readable() -> str:
    return " or ".join(
        f"{_PLURAL[kind]} ({', '.join(suffixes)})" for kind, suffixes in SUFFIXES.items()
    )


def _kind_of(path: str) -> Kind | None:
    lower = path.lower()
    return next((kind for kind, suffixes in SUFFIXES.items() if lower.endswith(suffixes)), None)


def _ending(path: str) -> str:
    return f".{path.rpartition('.')[2].lower()}"
