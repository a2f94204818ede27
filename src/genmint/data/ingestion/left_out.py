"""Counts of the files of a folder that are not items, by reason and suffix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from genmint.common.escaping import escape_name
from genmint.config.base import Kind
from genmint.data.ingestion.readers import AudioReader, ImageReader, TextReader

Reason = Literal["hidden", "other ending", "made by the system"]

# Number of suffixes that are counted separately, most frequent first; the rest is one count.
_ENDINGS = 12
_LONGEST_ENDING = 12
REST = "other"

# Suffixes of the files that are items, by kind.
SUFFIXES: Mapping[Kind, tuple[str, ...]] = {
    "image": ImageReader.suffixes,
    "audio": AudioReader.suffixes,
    "text": TextReader.suffixes,
}
_IMAGES = (
    ".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".tif", ".tiff", ".gif", ".svg", ".psd",
    ".xcf", ".eps", ".ico", ".tga", ".ppm", ".pgm", ".pbm", ".pnm", ".exr", ".hdr", ".raw", ".cr2",
    ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".dcm", ".nii", ".jpe", ".jfif", ".apng",
)  # fmt: skip
_SOUND = (
    ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".wma", ".aif", ".aiff", ".aifc", ".au",
    ".amr", ".ape", ".wv", ".caf", ".mka", ".mid", ".midi",
)  # fmt: skip
_VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".3gp")
_DOCUMENTS = (
    ".pdf", ".docx", ".doc", ".odt", ".rtf", ".epub", ".html", ".htm", ".pptx", ".tex", ".rst",
    ".xml",
)  # fmt: skip
_TABLES = (
    ".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx", ".xls", ".npy", ".npz", ".h5", ".hdf5",
    ".pkl",
)  # fmt: skip
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
# Files and folders created by network storage, desktops and editors, with a description. Some are
# image files with the suffix of the originals: copies of items in other sizes.
_SYSTEM_FOLDERS = {
    **dict.fromkeys(
        ("@eaDir", "@__thumb", ".@__thumb", ".thumbnails", ".picasaoriginals"),
        "thumbnails and previews of storage or viewers",
    ),
    **dict.fromkeys(("__MACOSX", ".AppleDouble"), "attributes of files, as macOS keeps them"),
    **dict.fromkeys(
        ("#recycle", "@Recycle", "$RECYCLE.BIN", ".Trashes", ".Trash", ".Trash-1000"),
        "deleted files",
    ),
    **dict.fromkeys(("#snapshot", "~snapshot", ".snapshot"), "earlier states of the folder"),
    ".ipynb_checkpoints": "copies that Jupyter makes",
    "System Volume Information": "records of Windows",
    "lost+found": "remains of a repaired file system",
}
_SYSTEM_FILES = {
    **dict.fromkeys(
        ("Thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "ZbThumbnail.info"), "thumbnails"
    ),
    **dict.fromkeys(
        ("desktop.ini", ".DS_Store", "Icon\r", ".directory", "Picasa.ini", ".picasa.ini"),
        "settings of a desktop or viewer",
    ),
}
_RESOURCE_FORK = "._"
# Names on Windows shares are case-insensitive.
_FOLDER_NAMES = {name.lower(): name for name in _SYSTEM_FOLDERS}
_FILE_NAMES = {name.lower(): name for name in _SYSTEM_FILES}


@dataclass(frozen=True)
class LeftOut:
    """Files that were left out for one reason.

    Attributes:
        reason: hidden (its name or a folder's begins with a dot), other ending, or made by the
            system (network storage, a desktop, an editor).
        ending: suffix in lower case with its dot; "" for none, "other" for those counted together.
            For files made by the system: their well-known name, such as @eaDir or ._*.
        files: number of files.
        advice: how to turn them into items; "" if unknown.
    """

    reason: str
    ending: str
    files: int
    advice: str

    def as_json(self) -> dict[str, Any]:
        """Return the counts as in the manifest's metadata and reports/data/NAME.json."""
        return {
            "reason": self.reason,
            "ending": self.ending,
            "files": self.files,
            "advice": self.advice,
        }

    def __str__(self) -> str:
        ending = {"": "without ending", REST: "with other endings"}.get(self.ending, self.ending)
        hidden = "hidden " if self.reason == "hidden" else ""
        if self.reason == "made by the system":
            hidden = "in " if self.ending in _SYSTEM_FOLDERS else ""
        return f"{self.files} {hidden}{ending}{f' ({self.advice})' if self.advice else ''}"


def made_by_system(path: str) -> str | None:
    """Return the well-known name of a file made by network storage, desktops or editors; or None.

    Args:
        path: path relative to the folder of the data set.
    """
    *folders, name = path.lower().split("/")
    known = next((_FOLDER_NAMES[each] for each in folders if each in _FOLDER_NAMES), None)
    if known is None and name.startswith(_RESOURCE_FORK):
        return f"{_RESOURCE_FORK}*"
    return known or _FILE_NAMES.get(name)


def count(names: Iterable[tuple[Reason, str]], kind: Kind) -> tuple[LeftOut, ...]:
    """Count files that were left out.

    Args:
        names: reason and name of each file; for files made by the system, their well-known name.
        kind: kind of the data set.

    Returns:
        Counts by reason, then in descending order of the number of files.
    """
    counts: dict[Reason, Counter[str]] = {
        "other ending": Counter(), "hidden": Counter(), "made by the system": Counter()
    }  # fmt: skip
    for reason, name in names:
        by_system = reason == "made by the system"
        counts[reason][escape_name(name) if by_system else _ending(name)] += 1
    result = []
    for reason, endings in counts.items():
        ranked = sorted(endings.items(), key=lambda pair: (-pair[1], pair[0]))
        shown, rest = ranked[:_ENDINGS], sum(files for _, files in ranked[_ENDINGS:])
        for ending, files in [*shown, *([(REST, rest)] if rest else [])]:
            result.append(LeftOut(reason, ending, files, _advice(reason, ending, kind)))
    return tuple(result)


def sentence(left_out: Sequence[LeftOut]) -> str:
    """Return a text like `140 files were left out: 140 .heic (convert to png)`; "" if none."""
    if not left_out:
        return ""
    total = sum(each.files for each in left_out)
    verb = "file was" if total == 1 else "files were"
    return f"{total} {verb} left out: {', '.join(map(str, left_out))}"


def convertible_to(ending: str) -> Kind | None:
    """Return the kind of the items that files of this ending can be converted to, or None."""
    tables: tuple[tuple[Kind, tuple[str, ...]], ...] = (
        ("image", _IMAGES),
        ("audio", _SOUND),
        ("text", _DOCUMENTS),
        ("image", _VIDEOS),
    )
    return next((kind for kind, endings in tables if ending in endings), None)


def _ending(name: str) -> str:
    _, dot, ending = name.lstrip(".").rpartition(".")
    if not dot or not ending:
        return ""
    shown = f".{escape_name(ending.lower())}"
    return shown if len(shown) <= _LONGEST_ENDING else REST


def _advice(reason: Reason, ending: str, kind: Kind) -> str:
    if reason == "made by the system":
        known = _SYSTEM_FOLDERS | {escape_name(name): what for name, what in _SYSTEM_FILES.items()}
        return known.get(ending, "attributes of files, as macOS keeps them")
    if reason == "hidden":
        if ending not in SUFFIXES[kind]:
            return ""
        return "hidden files are no items: take the dot off the name of the file or folder"
    for other, suffixes in SUFFIXES.items():
        if other != kind and ending in suffixes:
            return f"files of kind: {other}; give them a data set of their own"
    for endings, advice in _advices(kind):
        if ending in endings:
            return advice
    return ""


def _advices(kind: Kind) -> list[tuple[tuple[str, ...], str]]:
    """Return suffixes that are common in the folders of data sets, with advice for each."""
    target = {"image": "png or jpg", "audio": "flac or wav", "text": "txt (UTF-8)"}[kind]
    convert = f"convert to {target}"
    advices: list[tuple[tuple[str, ...], str]] = [(_ARCHIVES, "unpack the archive")]
    if kind == "image":
        advices += [(_IMAGES, convert), (_VIDEOS, "extract single frames as png or jpg")]
        advices += [((".pdf", ".pptx", ".docx"), "export its images as png or jpg")]
    elif kind == "audio":
        advices += [(_SOUND, convert), (_VIDEOS, "extract the sound track as flac or wav")]
    else:
        advices += [(_DOCUMENTS, convert)]
    return [*advices, (_TABLES, f"export each item as a file: {target}")]
