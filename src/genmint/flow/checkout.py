"""A working tree of a flow's own: a git worktree of one commit that shares DVC's cache."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genmint.config import Params, load_params
from genmint.dvc_config import share_cache
from genmint.errors import ConfigError, TemporaryError
from genmint.file_lock import taken
from genmint.files import write_text
from genmint.programs import GitError, git
from genmint.project import Project
from genmint.reading import read_yaml
from genmint.repository import note_home

_SHOWN_FILES = 10


def resolve(home: Project, revision: str, *, ignore_uncommitted: bool) -> str:
    """Commit of a revision of the home repository.

    dvc.lock does not count as a change: DVC writes it whenever a stage runs.

    Raises:
        GitError: git cannot be used here: not installed, no repository, or git refuses it.
        ConfigError: no such revision; or tracked files differ from what is committed, and are not
            to be ignored.
    """
    try:
        commit = git(home, "rev-parse", "--verify", f"{revision}^{{commit}}").strip()
    except GitError as error:
        if error.unusable:
            raise
        raise ConfigError(
            f"{home.root}: git has no revision {revision!r}. Fetch it, or name another. ({error})"
        ) from None
    if not ignore_uncommitted:
        listed = git(home, "status", "--porcelain", "--untracked-files=no", ":/", ":!dvc.lock")
        changed = [line[3:] for line in listed.splitlines()]
        if changed:
            shown = ", ".join(changed[:_SHOWN_FILES])
            more = f" and {len(changed) - _SHOWN_FILES} more" if len(changed) > _SHOWN_FILES else ""
            raise ConfigError(
                f"{home.root}: changes that are not committed would not be trained: {shown}{more}. "
                "Commit them, or set ignore_uncommitted to train what is committed."
            )
    return commit


@contextlib.contextmanager
def checked_out(home: Project, commit: str, name: str) -> Iterator[Project]:
    """A worktree of `commit` at .genmint/checkouts/NAME while the block runs; then it is gone.

    Those that dead flows left are removed first. The user's tree, index and branch stay as they
    are.

    Raises:
        TemporaryError: another process works in a checkout of this name.
        GenmintError: git or DVC cannot make it.
    """
    parent = home.home / ".genmint" / "checkouts"
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(home, parent)
    lock = parent / f"{name}.lock"
    with lock.open("w", encoding="utf-8") as owner:
        if not taken(owner) or not lock.exists():
            raise TemporaryError(f"{parent / name}: another process works there. Wait for it.")
        target = parent / name
        _remove(home, target)
        git(home, "worktree", "add", "--detach", str(target), commit)
        prefix = git(home, "rev-parse", "--show-prefix").strip()
        note_home(target, home.home)
        try:
            project = Project(target / prefix)
            share_cache(home.root, project.root)
            yield project
        finally:
            _remove(home, target)
            lock.unlink(missing_ok=True)


def git_remote(home: Project) -> str | None:
    """Name of the git remote that results go to: origin, or the only one; None without one."""
    remotes = git(home, "remote").split()
    if "origin" in remotes:
        return "origin"
    return remotes[0] if len(remotes) == 1 else None


def override(checkout: Project, values: Mapping[str, Any]) -> Params:
    """Change keys of the checkout's params.yaml, comments kept; return what it then says.

    Args:
        checkout: whose params.yaml is changed.
        values: by dotted key, `models.image-vae.steps: 100`; as `dvc exp run --set-param` has them.

    Raises:
        ConfigError: a key's block is not there, or the file is then not valid.
    """
    if values:
        from ruamel.yaml import YAML

        yaml = YAML()
        yaml.width = 1000  # lines stay as they are
        read_yaml(checkout.params)  # which refuses what must not be expanded
        document: Any = yaml.load(checkout.params.read_text(encoding="utf-8-sig"))
        for key, value in values.items():
            *path, last = key.split(".")
            block = document
            for part in path:
                if not isinstance(block, dict) or part not in block:
                    raise ConfigError(f"overrides: params.yaml has no block {'.'.join(path)!r}")
                block = block[part]
            if not path or not isinstance(block, dict):
                raise ConfigError(f"overrides: {key!r} is no key of a block, as a.b.c")
            block[last] = value
        text = io.StringIO()
        yaml.dump(document, text)
        write_text(checkout.params, text.getvalue())
    return load_params(checkout.params)


def _sweep(home: Project, parent: Path) -> None:
    for lock in parent.glob("*.lock"):
        with contextlib.suppress(FileNotFoundError), lock.open("r+", encoding="utf-8") as owner:
            if taken(owner):
                _remove(home, lock.with_suffix(""))
                lock.unlink(missing_ok=True)


def _remove(home: Project, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target, ignore_errors=True)
    git(home, "worktree", "prune")
