"""Git repository of a folder, determined from git's files without running git.

git refuses to work in a repository of another user, and is not always installed. The location of
the registry must depend on neither.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

# Note in the git folder of a genmint worktree: the folder that keeps its registry.
_HOME_NOTE = "genmint-home"
_SECTION = re.compile(r"\[\s*([^\]\s\"]+)[^\]]*\]")


@dataclass(frozen=True)
class WorkingTree:
    """A git working tree.

    Attributes:
        top: root of the working tree.
        own: git folder of this working tree.
        common: git folder of the repository, shared by all its working trees.
    """

    top: Path
    own: Path
    common: Path

    @property
    def main(self) -> Path | None:
        """Root of the repository's main working tree.

        None if git's files do not name one: a bare repository, or a linked working tree of a
        repository whose git folder is separate (`--separate-git-dir`).
        """
        if self.own == self.common:
            return self.top
        if self.common.name == ".git":
            return self.common.parent
        # Set for submodules, whose git folder lies in that of the outer repository.
        named = _core(self.common, "worktree")
        return None if named is None else (self.common / named).resolve()

    @property
    def noted_home(self) -> Path | None:
        """Folder recorded by `note_home` for this working tree, None if it no longer exists."""
        note = self.own / _HOME_NOTE
        if self.own == self.common or not note.is_file():
            return None
        folder = Path(note.read_text(encoding="utf-8").strip())
        return folder if folder.is_dir() else None


def working_tree(folder: Path) -> WorkingTree | None:
    """Return the git working tree that contains a folder; None outside of git."""
    folder = folder.resolve()
    for top in (folder, *folder.parents):
        entry = top / ".git"
        if entry.is_dir() and (entry / "HEAD").is_file():
            own = entry.resolve()
        elif entry.is_file():
            text = entry.read_text(encoding="utf-8", errors="surrogateescape").strip()
            own = (top / text.removeprefix("gitdir:").strip()).resolve()
        else:
            continue
        shared = own / "commondir"
        common = (own / shared.read_text("utf-8").strip()).resolve() if shared.is_file() else own
        return WorkingTree(top, own, common)
    return None


def note_home(worktree: Path, home: Path) -> None:
    """Record which folder keeps the registry of a worktree created by genmint."""
    tree = working_tree(worktree)
    if tree is not None and tree.own != tree.common:
        (tree.own / _HOME_NOTE).write_text(f"{home}\n", encoding="utf-8")


def _core(git_folder: Path, key: str) -> str | None:
    """Return the value of core.KEY in a repository's own configuration."""
    section = ""
    for name in ("config.worktree", "config"):
        path = git_folder / name
        if not path.is_file():
            continue
        for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            if match := _SECTION.match(line.strip()):
                section = match.group(1).lower()
                continue
            setting, equals, value = line.partition("=")
            if equals and section == "core" and setting.strip().lower() == key:
                return value.strip().strip('"')
    return None
