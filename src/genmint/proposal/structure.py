"""Labels and official splits that the folders and names of files state."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from genmint.config.base import Kind
from genmint.data.ingestion.official import pattern_for, split_folders, split_named

# Fewest items of a class on average; with fewer, the parts of the names are numbers or titles.
_PER_CLASS = 5
# Largest number of classes that names may state.
_CLASSES = 1000
_SEPARATORS = ("_", "-", " ", ".")
_LETTERS_NUMBER = re.compile(r"([A-Za-z]+)[0-9]+")


@dataclass(frozen=True)
class Structure:
    """Labels and splits of a folder.

    Attributes:
        labels: `labels` of the data set entry.
        split: official, or "" if the folders state no splits.
        pattern: `filename_pattern` of the data set entry; None without one.
        classes: number of items of each class, most frequent first; empty without labels.
        parts: other parts of the names that repeat, as (place from 1, its values): a speaker, say.
        why_none: why there are no labels, for the overview.
    """

    labels: str = "none"
    split: str = ""
    pattern: str | None = None
    classes: tuple[tuple[str, int], ...] = ()
    parts: tuple[tuple[int, tuple[str, ...]], ...] = ()
    why_none: str = "neither folders nor names repeat"

    def __str__(self) -> str:
        if self.labels == "none":
            return f"none: {self.why_none}"
        shown = ", ".join(f"{name} {number:,}" for name, number in self.classes[:6])
        more = f", and {len(self.classes) - 6} more" if len(self.classes) > 6 else ""
        where = "folder" if self.pattern is None or "/" in self.pattern else "the names"
        return f"{len(self.classes)} classes by {where}: {shown}{more}"


def structure_of(paths: Sequence[str], kind: Kind) -> Structure:
    """Return the labels and splits that paths state.

    Folders called train, test or val are splits, other folders are classes, and otherwise names
    such as `7_anna_12` may state a class. Texts have no labels.

    Args:
        paths: paths of the items relative to the folder of the data set.
        kind: kind of the items.
    """
    known = split_folders(paths)
    if known:
        return _by_split_folders(paths, known, kind)
    if kind == "text":
        return Structure()
    folders = [path.partition("/")[0] for path in paths if "/" in path]
    classes = _classes(folders, len(paths))
    if classes:
        return Structure(labels="folder", classes=classes)
    by_names = _by_names(paths)
    return by_names if by_names.classes else replace(by_names, why_none=_why_none(folders, paths))


def _by_split_folders(paths: Sequence[str], known: Sequence[str], kind: Kind) -> Structure:
    inside = [path.partition("/")[2] for path in paths if path.partition("/")[0] in known]
    if len(inside) < len(paths):
        return Structure(
            why_none=f"the folders {', '.join(known)} look like splits, and "
            f"{len(paths) - len(inside):,} files are in none of them"
        )
    classes: tuple[tuple[str, int], ...] = ()
    if kind != "text":
        classes = _classes([path.partition("/")[0] for path in inside if "/" in path], len(paths))
    return Structure(
        labels="filename" if classes else "none",
        split="official",
        pattern=pattern_for(known, labels=bool(classes)),
        classes=classes,
        why_none="texts have none" if kind == "text" else "no folders of classes within the splits",
    )


def _why_none(folders: Sequence[str], paths: Sequence[str]) -> str:
    """Return why the folders are no classes, given the first folder of each path that has one."""
    counts = Counter(folders)
    if len(counts) < 2:
        return Structure.why_none
    if len(folders) < len(paths):
        return f"{len(paths) - len(folders):,} of {len(paths):,} files are in no folder"
    smallest = min(counts, key=lambda name: (counts[name], name))
    if counts[smallest] < 2:
        return f"the folder {smallest} has a single file, and a class needs two"
    if len(counts) > _CLASSES:
        return f"{len(counts):,} folders, and at most {_CLASSES:,} are taken for classes"
    return (
        f"{len(counts):,} folders of {len(paths):,} files, and a class needs {_PER_CLASS} files "
        "on average"
    )


def _by_names(paths: Sequence[str]) -> Structure:
    stems = [path.rpartition("/")[2].rpartition(".")[0] for path in paths]
    for separator in _SEPARATORS:
        rows = [stem.split(separator) for stem in stems]
        if len({len(row) for row in rows}) > 1 or len(rows[0]) < 2:
            continue
        columns = list(zip(*rows, strict=True))
        repeated = {
            place: classes
            for place, column in enumerate(columns)
            if all(column) and (classes := _classes(column, len(paths)))
        }
        if repeated:
            place, classes = next(iter(repeated.items()))
            return Structure(
                "filename",
                pattern=_pattern(separator, place, len(columns)),
                classes=classes,
                parts=tuple(
                    (other + 1, tuple(name for name, _ in values))
                    for other, values in repeated.items()
                    if other != place and not all(name.isdigit() for name, _ in values)
                ),
            )
    matches = [_LETTERS_NUMBER.fullmatch(stem) for stem in stems]
    words = [match[1] for match in matches if match]
    classes = _classes(words, len(paths))
    if classes:
        pattern = "(?P<label>[A-Za-z]+)[0-9]+"
        return Structure("filename", pattern=pattern, classes=classes)
    return Structure()


def _pattern(separator: str, place: int, places: int) -> str:
    """Return the pattern of names in which the part at `place` is the label."""
    mark = re.escape(separator) if separator == "." else separator
    before = "".join(f"[^{separator}]+{mark}" for _ in range(place))
    after = f"{mark}.+" if place + 1 < places else ""
    return f"{before}(?P<label>[^{separator}]+){after}"


def _classes(values: Sequence[str], items: int) -> tuple[tuple[str, int], ...]:
    """Return the classes with their number of items; nothing if these are no classes of all."""
    if len(values) < items:
        return ()
    counts = Counter(values)
    if not 2 <= len(counts) <= min(_CLASSES, items // _PER_CLASS) or min(counts.values()) < 2:
        return ()
    if all(split_named(value) for value in counts):
        return ()
    return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
