"""A folder of the user's own: the one reader of it, whichever way its files enter.

`dvc repro`, the flow's checkout and the drift check all list, open and copy a folder through this
module, so that the same files become items and the same are refused.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from genmint.data.left_out import Kind, LeftOut, Reason, count
from genmint.data.readers import UnreadableError
from genmint.errors import DataError, GenmintError
from genmint.escaping import escape_name, is_utf8, unescape_name
from genmint.files import write_json
from genmint.reading import parse_json

_SHOWN = 5
# Of a copy: what could not be copied, and why. It is hidden, so it is never an item.
NOT_COPIED = ".genmint-not-copied.json"
_BAD_NAME = "name is not UTF-8, so DVC cannot record it: rename the file or its folder"
_FOLDER_LINK = (
    "symbolic link to a folder, which DVC does not look behind; copy the folder to its place"
)
# What can lie in a folder and has no content to read, and what DVC does when it hashes it.
_SPECIAL = {
    stat.S_IFIFO: ("named pipe (FIFO)", "DVC waits for it for ever"),
    stat.S_IFSOCK: ("socket", "DVC stops at it"),
    stat.S_IFCHR: ("device file", "DVC may read it without end"),
    stat.S_IFBLK: ("device file", "DVC may read it without end"),
}

# What an entry of a folder is: a link counts as what it leads to, and as a file if to nothing.
Sort = Literal["file", "folder", "special"]


@dataclass(frozen=True)
class Listing:
    """What a folder holds for one kind of data.

    Attributes:
        paths: of the items, relative to the folder, escaped (`escape_name`), sorted.
        left_out: all other files, counted.
    """

    paths: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class Folder:
    """A folder whose files are items.

    Attributes:
        root: the folder, with links resolved.
        follow_links: whether links to files anywhere are read.
        stores: returns folders that links may lead into in any case, with links resolved.
    """

    root: Path
    follow_links: bool
    stores: Callable[[], Sequence[Path]]

    def listing(self, suffixes: tuple[str, ...], kind: Kind) -> Listing:
        """Files with these endings, and how many others there are.

        Links to folders, and pipes, sockets and devices, are among the items whatever their ending,
        to be refused by name.

        Raises:
            DataError: a folder cannot be listed.
        """
        paths: list[str] = []
        left_out: list[tuple[Reason, str]] = []
        for path, sort in self._entries():
            name = path.rpartition("/")[2]
            if any(part.startswith(".") for part in path.split("/")):
                left_out.append(("hidden", name))
            elif sort != "file" or name.lower().endswith(suffixes):
                paths.append(escape_name(path))
            else:
                left_out.append(("other ending", name))
        return Listing(tuple(sorted(paths)), count(left_out, kind))

    def file(self, path: str) -> Path:
        """The file of an escaped path, to be opened.

        Raises:
            UnreadableError: it may not be read, or is not there.
        """
        name = unescape_name(path)
        if not is_utf8(name):
            raise UnreadableError(_BAD_NAME)
        file = self.root / name
        if path in self._not_copied and not os.path.lexists(file):
            raise UnreadableError(self._not_copied[path][0])
        if file.is_dir():
            raise UnreadableError(_FOLDER_LINK if file.is_symlink() else "is a folder")
        if not file.exists():
            raise UnreadableError("symbolic link to nothing" if file.is_symlink() else "is gone")
        special = _special(file)
        if special is not None:
            raise UnreadableError(special)
        if not self.follow_links and not self._is_inside(file):
            raise UnreadableError(
                "symbolic link that leads out of the folder; follow_links: true would read it"
            )
        return file

    def stops_dvc(self) -> list[str]:
        """What makes DVC stop before any stage runs, named: the first few, and how many more.

        DVC reads every file of a folder on which a stage depends, also those that are no items. It
        names a link to nothing, but not a name that is not UTF-8. It opens a named pipe to hash it,
        and then waits without a word.

        Raises:
            DataError: a folder cannot be listed.
        """
        found = []
        for path, sort in self._entries():
            shown, file = escape_name(path), self.root / path
            if shown in self._not_copied and not os.path.lexists(file):
                continue
            if not is_utf8(path):
                found.append(f"{shown}: {_BAD_NAME}")
            elif file.is_symlink() and not file.exists():
                found.append(f"{shown}: symbolic link to nothing")
            elif sort == "special" and (special := _special(file)) is not None:
                found.append(f"{shown}: {special}")
        more = len(found) - _SHOWN
        return [*sorted(found)[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]

    def copy(self, target: Path) -> None:
        """Copy what may be read into a new folder, with a note of what may not.

        `Folder(target, …)` then lists the same items and refuses the same of them.

        Raises:
            DataError: a file cannot be read or written.
        """
        refused = {path: list(entry) for path, entry in self._not_copied.items()}
        target.mkdir(parents=True)
        for path, sort in self._entries():
            shown = escape_name(path)
            if shown in refused:
                continue
            try:
                file = self.file(shown)
                copy = target / path
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, copy)
            except UnreadableError as error:
                refused[shown] = [str(error), sort]
            except OSError as error:
                raise DataError(
                    f"{self.root}: {shown}: cannot be copied: {error.strerror or error}"
                ) from None
        if refused:
            write_json(target / NOT_COPIED, dict(sorted(refused.items())))

    def _is_inside(self, file: Path) -> bool:
        # realpath, since Path.resolve raises on links that lead in a circle.
        real = Path(os.path.realpath(file))
        return real.is_relative_to(self.root) or any(
            real.is_relative_to(store) for store in self.stores()
        )

    @cached_property
    def _not_copied(self) -> dict[str, tuple[str, str]]:
        """Reason, and what it was (a `Sort`), of what a copy lacks."""
        record = self.root / NOT_COPIED
        special = _special(record)
        if special is not None:
            raise DataError(f"{record}: {special}")
        try:
            text = record.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{record}: cannot be read: {error}") from None
        try:
            return {
                str(path): (str(reason), str(what))
                for path, (reason, what) in parse_json(text, str(record)).items()
            }
        except (GenmintError, ValueError, TypeError, AttributeError):
            raise DataError(
                f"{record}: not a note of genmint on what was not copied. Delete it; what it named "
                "is then no longer counted."
            ) from None

    def _entries(self) -> Iterator[tuple[str, Sort]]:
        """Relative path of everything that is no folder, and what it is."""
        recorded = dict(self._not_copied)
        # A list, since folders may be nested deeper than Python may recurse.
        waiting = [""]
        while waiting:
            prefix = waiting.pop()
            try:
                with os.scandir(self.root / prefix) as entries:
                    for entry in entries:
                        path = f"{prefix}{entry.name}"
                        recorded.pop(escape_name(path), None)
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(f"{path}/")
                        elif path != NOT_COPIED:
                            yield path, _sort(entry)
            except OSError as error:
                folder = escape_name(str(self.root / prefix))
                raise DataError(f"{folder}: cannot be listed: {error.strerror}") from None
        for path, (_, what) in recorded.items():
            yield unescape_name(path), _RECORDED.get(what, "file")


_RECORDED: dict[str, Sort] = {"folder": "folder", "special": "special"}


def _sort(entry: os.DirEntry[str]) -> Sort:
    """What an entry that is no folder is, or leads to."""
    try:
        if entry.is_file():
            return "file"
        if entry.is_dir():
            return "folder"
    except OSError:
        # Of a link that leads in a circle, or to where nobody may look.
        return "file"
    return "special" if _special(Path(entry.path)) is not None else "file"


def _special(file: Path) -> str | None:
    """Why a pipe, socket or device, or a link to one, cannot be read; None for all else.

    It is not opened: opening a pipe waits for somebody who writes into it.
    """
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    what, in_dvc = _SPECIAL.get(stat.S_IFMT(mode), ("special file", "DVC may stop at it"))
    link = "symbolic link to a " if file.is_symlink() else ""
    return f"{link}{what}, not a regular file: {in_dvc}; remove it, or move it out of the folder"
