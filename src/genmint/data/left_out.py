"""Files of a folder that are no items of its data set, counted by reason and ending."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from genmint.data.readers import AudioReader, ImageReader, TextReader
from genmint.escaping import escape_name

Kind = Literal["image", "audio", "text"]
Reason = Literal["hidden", "other ending"]

# Distinct endings that are counted one by one, most frequent first; the rest is one number.
_ENDINGS = 12
_LONGEST_ENDING = 12
REST = "other"

_SUFFIXES: Mapping[Kind, tuple[str, ...]] = {
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


@dataclass(frozen=True)
class LeftOut:
    """Files that were left out for one reason.

    Attributes:
        reason: hidden (its name or a folder's begins with a dot), or other ending.
        ending: in lower case with its dot; "" for none, "other" for those counted together.
        files: how many there are.
        advice: what to do so that they become items; "" where nothing can be said.
    """

    reason: str
    ending: str
    files: int
    advice: str

    def as_json(self) -> dict[str, Any]:
        """As in the manifest's metadata and reports/data/NAME.json."""
        return {
            "reason": self.reason,
            "ending": self.ending,
            "files": self.files,
            "advice": self.advice,
        }

    def __str__(self) -> str:
        ending = {"": "without ending", REST: "with other endings"}.get(self.ending, self.ending)
        hidden = "hidden " if self.reason == "hidden" else ""
        return f"{self.files} {hidden}{ending}{f' ({self.advice})' if self.advice else ''}"


def count(found: Iterable[tuple[Reason, str]], kind: Kind) -> tuple[LeftOut, ...]:
    """Count files that were left out.

    Args:
        found: why each file was left out, and its name.
        kind: of the data set.

    Returns:
        By reason, then by number of files, most first.
    """
    counts: dict[Reason, Counter[str]] = {"other ending": Counter(), "hidden": Counter()}
    for reason, name in found:
        counts[reason][_ending(name)] += 1
    result = []
    for reason, endings in counts.items():
        ranked = sorted(endings.items(), key=lambda pair: (-pair[1], pair[0]))
        shown, rest = ranked[:_ENDINGS], sum(files for _, files in ranked[_ENDINGS:])
        for ending, files in [*shown, *([(REST, rest)] if rest else [])]:
            result.append(LeftOut(reason, ending, files, _advice(reason, ending, kind)))
    return tuple(result)


def sentence(left_out: Sequence[LeftOut]) -> str:
    """`140 files were left out: 140 .heic (convert to png)`; "" if there are none."""
    if not left_out:
        return ""
    total = sum(each.files for each in left_out)
    verb = "file was" if total == 1 else "files were"
    return f"{total} {verb} left out: {', '.join(map(str, left_out))}"


def _ending(name: str) -> str:
    _, dot, ending = name.lstrip(".").rpartition(".")
    if not dot or not ending:
        return ""
    shown = f".{escape_name(ending.lower())}"
    return shown if len(shown) <= _LONGEST_ENDING else REST


def _advice(reason: Reason, ending: str, kind: Kind) -> str:
    if reason == "hidden":
        if ending not in _SUFFIXES[kind]:
            return ""
        return "hidden files are no items: take the dot off the name of the file or folder"
    for other, suffixes in _SUFFIXES.items():
        if other != kind and ending in suffixes:
            return f"files of kind: {other}; give them a data set of their own"
    for endings, advice in _advices(kind):
        if ending in endings:
            return advice
    return ""


def _advices(kind: Kind) -> list[tuple[tuple[str, ...], str]]:
    """Endings that people have among the files of a data set, and what to do about them."""
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
