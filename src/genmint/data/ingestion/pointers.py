"""Detection of pointer files of Git LFS, git-annex, DVC and iCloud, whose content is elsewhere.

As items they would be valid short texts, and the data set would not be the intended one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from genmint.common.errors import DataError
from genmint.common.escaping import escape_name

Keeper = Literal["Git LFS", "git-annex", "DVC", "iCloud"]

_COMMANDS: Mapping[Keeper, str] = {
    "Git LFS": "git lfs pull",
    "git-annex": "git annex get .",
    "DVC": "dvc pull",
    "iCloud": "brctl download .",
}
# Larger files are not pointers: Git LFS limits their size, and a git-annex key is a file name.
_LARGEST = 1024
_LFS = re.compile(
    rb"version (?:https://git-lfs\.github\.com/spec/v1|https://hawser\.github\.com/spec/v1|"
    rb"http://git-media\.io/v/2)\r?\n(?:ext-\S+ \S+\r?\n)*oid sha256:[0-9a-f]{64}\r?\n"
    rb"size [0-9]+\s*"
)
# The second form replaces a link in a clone without links (core.symlinks=false): a file with the
# target.
_ANNEX = re.compile(rb"(?:/|(?:\.\./)*\.git/)annex/objects/\S+\s*")
_ANNEX_LINK = re.compile(r"(?:^|/)annex/objects/")
_DVC_LINK = re.compile(r"/[0-9a-f]{2}/[0-9a-f]{30}$")
_DVC_OUT = re.compile(rb"^outs:\s*$", re.MULTILINE)
_DVC_FOLDER = re.compile(rb"^(?:-| ) *md5: *[0-9a-f]{32}\.dir\s*$", re.MULTILINE)


def keeper_of(file: Path) -> Keeper | None:
    """Return who stores the content of a pointer file or broken link; None for other files.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        about = file.stat()
    except OSError:
        if not file.is_symlink():
            raise
        target = str(file.readlink()).replace("\\", "/")
        if _ANNEX_LINK.search(target):
            return "git-annex"
        return "DVC" if _DVC_LINK.search(target) else None
    if not stat.S_ISREG(about.st_mode) or not 0 < about.st_size <= _LARGEST:
        return None
    content = file.read_bytes()
    if _LFS.fullmatch(content):
        return "Git LFS"
    return "git-annex" if _ANNEX.fullmatch(content) else None


def missing_item(file: Path, suffixes: tuple[str, ...]) -> tuple[str, Keeper] | None:
    """Return name and keeper of an item that exists only as a pointer beside it; or None.

    `cat.png.dvc` without `cat.png`, `cats.dvc` without the folder `cats`, and `.cat.png.icloud`.

    Args:
        file: any file.
        suffixes: suffixes of items, in lower case.

    Raises:
        OSError: the file cannot be read.
    """
    name, _, ending = file.name.rpartition(".")
    if ending == "icloud" and name.startswith(".") and name.lower().endswith(suffixes):
        return name[1:], "iCloud"
    if ending != "dvc" or not name or name.startswith("."):
        return None
    if os.path.lexists(file.with_name(name)) or not file.is_file():
        return None
    with file.open("rb") as stream:
        content = stream.read(64 * _LARGEST)
    if not _DVC_OUT.search(content):
        return None
    is_item = name.lower().endswith(suffixes) or _DVC_FOLDER.search(content)
    return (name, "DVC") if is_item else None


def way_out(keeper: Keeper, folder: Path) -> str:
    """Return a sentence with the command that fetches the content."""
    return f"Run `{_COMMANDS[keeper]}` in {escape_name(str(folder))}."


def refuse_absent(where: Path, absent: Mapping[str, Keeper], what: str) -> None:
    """Check that no items are absent, since a subset would be another data set.

    Args:
        where: the folder or the file.
        absent: who stores each absent item, by its escaped path below the folder.
        what: name of the items in the plural, for the message.

    Raises:
        DataError: items are absent; the message gives their number, the first one, and the command
            that fetches them.
    """
    if not absent:
        return
    folder = where if where.is_dir() else where.parent
    problems = []
    for keeper in dict.fromkeys(absent.values()):
        names = [name for name, of in absent.items() if of == keeper]
        problems.append(
            f"{len(names)} {what} are not here, only pointers of {keeper} to them; the first is "
            f"{names[0]}. {way_out(keeper, folder)}"
        )
    raise DataError(f"{escape_name(str(where))}: {' '.join(problems)}")
