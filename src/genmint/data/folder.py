"""A folder of the user's own: the one reader of it, whichever way its files enter.

`dvc repro`, the flow's checkout and the drift check all list, open and copy a folder through this
module, so that the same files become items and the same are refused.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

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

        Links to folders are among the items, to be refused by name.

        Raises:
            DataError: a folder cannot be listed.
        """
        paths: list[str] = []
        left_out: list[tuple[Reason, str]] = []
        for path, is_folder in self._entries():
            name = path.rpartition("/")[2]
            if any(part.startswith(".") for part in path.split("/")):
                left_out.append(("hidden", name))
            elif is_folder or name.lower().endswith(suffixes):
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
        if not file.is_file():
            raise UnreadableError("not a regular file")
        if not self.follow_links and not self._is_inside(file):
            raise UnreadableError(
                "symbolic link that leads out of the folder; follow_links: true would read it"
            )
        return file

    def stops_dvc(self) -> list[str]:
        """What makes DVC stop before any stage runs, named: the first few, and how many more.

        DVC reads every file of a folder on which a stage depends, also those that are no items. It
        names a link to nothing, but not a name that is not UTF-8.
        """
        found = []
        for path, _ in self._entries():
            shown, file = escape_name(path), self.root / path
            if shown in self._not_copied and not os.path.lexists(file):
                continue
            if not is_utf8(path):
                found.append(f"{shown}: {_BAD_NAME}")
            elif file.is_symlink() and not file.exists():
                found.append(f"{shown}: symbolic link to nothing")
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
        for path, is_folder in self._entries():
            shown = escape_name(path)
            if shown in refused:
                continue
            try:
                file = self.file(shown)
                copy = target / path
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, copy)
            except UnreadableError as error:
                refused[shown] = [str(error), "folder" if is_folder else "file"]
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
        """Reason, and whether it was a file or a folder, of what a copy lacks."""
        record = self.root / NOT_COPIED
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

    def _entries(self) -> Iterator[tuple[str, bool]]:
        """Relative path of every file, and whether it is a link to a folder instead."""
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
                            yield path, entry.is_symlink() and (self.root / path).is_dir()
            except OSError as error:
                folder = escape_name(str(self.root / prefix))
                raise DataError(f"{folder}: cannot be listed: {error.strerror}") from None
        for path, (_, what) in recorded.items():
            yield unescape_name(path), what == "folder"
