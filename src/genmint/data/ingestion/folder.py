"""Reader of user-provided folders, shared by all stages and flows.

`dvc repro`, a flow's checkout and the drift check list, open and copy folders with this module. The
same files therefore become items, and the same files are rejected.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from genmint.common.errors import DataError, GenmintError
from genmint.common.escaping import escape_name, is_utf8, unescape_name
from genmint.common.files import write_json
from genmint.common.reading import parse_json
from genmint.config.base import Kind
from genmint.data.ingestion.left_out import LeftOut, Reason, count, made_by_system
from genmint.data.ingestion.pointers import Keeper, keeper_of, missing_item, way_out
from genmint.data.ingestion.readers import UnreadableError

_SHOWN = 5
# Record in a copy of the files that could not be copied, with reasons; it is hidden and thus no
# item.
NOT_COPIED = ".genmint-not-copied.json"
_BAD_NAME = "name is not UTF-8, so DVC cannot record it: rename the file or its folder"
_DVCIGNORE = (
    "DVC allows none in a folder that a stage depends on (a repository of DVC's own has one): "
    "remove it, or name a folder beside it as path"
)
_FOLDER_LINK = "symbolic link to a folder, which DVC does not follow; copy the folder to its place"
LEADS_OUT = "symbolic link that leads out of the folder; follow_links: true would read it"
# Special files without readable content, and what DVC does when it hashes them.
_SPECIAL = {
    stat.S_IFIFO: ("named pipe (FIFO)", "DVC waits for it forever"),
    stat.S_IFSOCK: ("socket", "DVC stops at it"),
    stat.S_IFCHR: ("device file", "DVC may read it endlessly"),
    stat.S_IFBLK: ("device file", "DVC may read it endlessly"),
}

Answer = TypeVar("Answer")
# Type of a folder entry: links count as their target, and broken links as files.
Sort = Literal["file", "folder", "special"]
EntryCounter = Callable[[Iterator[tuple[str, Sort]]], Iterator[tuple[str, Sort]]]


@dataclass(frozen=True)
class Listing:
    """Content of a folder for one kind of data.

    Attributes:
        paths: paths of the items relative to the folder, escaped (`escape_name`), sorted.
        left_out: counts of all other files.
        absent: for each item of which only a pointer exists here, who stores its content; by
            escaped path.
    """

    paths: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    absent: Mapping[str, Keeper] = field(default_factory=dict)


@dataclass(frozen=True)
class Folder:
    """A folder whose files are items.

    Attributes:
        root: the folder, with links resolved.
        follow_links: whether links to files anywhere are read.
        stores: returns folders that links may always point into, with links resolved.
    """

    root: Path
    follow_links: bool
    stores: Callable[[], Sequence[Path]]

    def listing(
        self, suffixes: tuple[str, ...], kind: Kind, progress: EntryCounter = iter
    ) -> Listing:
        """List files with these suffixes, and count the others.

        Links to folders, pipes, sockets and devices are listed as items whatever their suffix, so
        that they are rejected with a reason.

        Args:
            suffixes: suffixes of items, in lower case.
            kind: kind of the items, for the advice on other files.
            progress: yields the entries that it gets, and may display their number.

        Raises:
            DataError: a folder cannot be listed.
        """
        paths: list[str] = []
        left_out: list[tuple[Reason, str]] = []
        absent: dict[str, Keeper] = {}
        for path, sort in progress(self._entries()):
            folder, _, name = path.rpartition("/")
            known = made_by_system(path)
            if known is not None:
                left_out.append(("made by the system", known))
                continue
            shown = not any(part.startswith(".") for part in folder.split("/"))
            if shown and sort == "file" and name.endswith((".dvc", ".icloud")):
                missing: tuple[str, Keeper] | None = self._answer(missing_item, path, suffixes)
                if missing is not None:
                    absent[escape_name(f"{folder}/{missing[0]}".lstrip("/"))] = missing[1]
            if not shown or name.startswith("."):
                left_out.append(("hidden", name))
            elif sort != "file" or name.lower().endswith(suffixes):
                paths.append(escape_name(path))
                keeper: Keeper | None = None
                if sort == "file":
                    keeper = self._answer(keeper_of, path)
                if keeper is not None:
                    absent[paths[-1]] = keeper
            else:
                left_out.append(("other ending", name))
        return Listing(tuple(sorted(paths)), count(left_out, kind), dict(sorted(absent.items())))

    def file(self, path: str) -> Path:
        """Return the file of an escaped path.

        Raises:
            UnreadableError: the file may not be read, or does not exist.
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
            raise UnreadableError("broken symbolic link" if file.is_symlink() else "is gone")
        special = _special(file)
        if special is not None:
            raise UnreadableError(special)
        if not self.follow_links and not self._is_inside(file):
            raise UnreadableError(LEADS_OUT)
        return file

    def stops_dvc(self) -> list[str]:
        """Return the first files that make DVC stop before any stage runs, and how many more.

        DVC reads every file of a folder that a stage depends on, including files that are not
        items. It reports a broken link, but not a name that is not UTF-8. It opens a named pipe to
        hash it and then waits without a message.

        Raises:
            DataError: a folder cannot be listed.
        """
        problems = []
        for path, sort in self._entries():
            shown, file = escape_name(path), self.root / path
            if shown in self._not_copied and not os.path.lexists(file):
                continue
            if not is_utf8(path):
                problems.append(f"{shown}: {_BAD_NAME}")
            elif path.rpartition("/")[2] == ".dvcignore":
                problems.append(f"{shown}: {_DVCIGNORE}")
            elif file.is_symlink() and not file.exists():
                keeper = keeper_of(file)
                bring = f". {way_out(keeper, self.root)}" if keeper else ""
                problems.append(f"{shown}: broken symbolic link{bring}")
            elif sort == "special" and (special := _special(file)) is not None:
                problems.append(f"{shown}: {special}")
        more = len(problems) - _SHOWN
        return [*sorted(problems)[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]

    def copy(self, target: Path) -> None:
        """Copy the readable files into a new folder, with a record of the others.

        `Folder(target, …)` then lists the same items and rejects the same ones.

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

    def _answer(self, ask: Callable[..., Answer | None], path: str, *more: Any) -> Answer | None:
        """Call `ask` for a file; None if it is unreadable, which its manifest row reports."""
        try:
            return ask(self.root / path, *more)
        except OSError:
            return None

    def _is_inside(self, file: Path) -> bool:
        # realpath, since Path.resolve raises an error for circular links.
        real = Path(os.path.realpath(file))
        return real.is_relative_to(self.root) or any(
            real.is_relative_to(store) for store in self.stores()
        )

    @cached_property
    def _not_copied(self) -> dict[str, tuple[str, str]]:
        """Reason and type (a `Sort`) of each file that is missing in a copy."""
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
                f"{record}: not a record of the files that genmint did not copy. Delete it; these "
                "files are then no longer counted."
            ) from None

    def _entries(self) -> Iterator[tuple[str, Sort]]:
        """Yield the relative path and type of every entry that is not a folder."""
        recorded = dict(self._not_copied)
        # An explicit stack, since folders may be nested deeper than Python's recursion limit.
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
    """Return the type of an entry that is not a folder, or of its link target."""
    try:
        if entry.is_file():
            return "file"
        if entry.is_dir():
            return "folder"
    except OSError:
        # A circular link, or a target without access permission.
        return "file"
    return "special" if _special(Path(entry.path)) is not None else "file"


def _special(file: Path) -> str | None:
    """Return why a pipe, socket or device, or a link to one, is unreadable; None for other files.

    The file is not opened, because opening a pipe blocks until there is a writer.
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
