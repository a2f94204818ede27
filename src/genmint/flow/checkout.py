"""Separate working tree for a flow: a git worktree of one commit that shares the DVC cache."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genmint.common.errors import ConfigError, TemporaryError
from genmint.common.file_lock import attempted
from genmint.common.files import write_text
from genmint.common.git_worktrees import add_worktree, remove_worktree, worktrees_in
from genmint.common.layout import CHECKOUTS
from genmint.common.programs import git
from genmint.common.project import Project
from genmint.common.reading import read_yaml
from genmint.config import Params, load_params
from genmint.flow.submodules import fill_submodules


@contextlib.contextmanager
def checked_out(home: Project, commit: str, name: str) -> Iterator[Project]:
    """Yield a worktree of `commit` at .genmint/checkouts/NAME, removed after the `with` block.

    Worktrees of dead flows are removed first. The user's tree, index and branch are not changed.

    Raises:
        TemporaryError: another process uses a checkout of this name.
        GenmintError: git or DVC cannot create it.
    """
    parent = (Project(home.home).state / CHECKOUTS).resolve()
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(home, parent)
    lock = parent / f"{name}.lock"
    with attempted(lock) as mine:
        if not mine:
            raise TemporaryError(f"{parent / name}: in use by another process. Wait until it ends.")
        target = parent / name
        try:
            remove_worktree(home, target)
            checkout = add_worktree(home, target, commit)
            fill_submodules(Path(git(home, "rev-parse", "--show-toplevel").strip()), target)
            yield checkout
        finally:
            remove_worktree(home, target)
            lock.unlink(missing_ok=True)


def git_remote(home: Project) -> str | None:
    """Return the git remote for results: origin, or the only one; None if there is none."""
    remotes = git(home, "remote").split()
    if "origin" in remotes:
        return "origin"
    return remotes[0] if len(remotes) == 1 else None


def override(checkout: Project, values: Mapping[str, Any]) -> Params:
    """Change keys of the checkout's params.yaml, keep its comments, and return the new settings.

    Args:
        checkout: project whose params.yaml is changed.
        values: values by dotted key, `models.image-vae.steps: 100`, as for `dvc exp run
            --set-param`.

    Raises:
        ConfigError: the entry of a key does not exist, or the resulting file is not valid.
    """
    if values:
        from ruamel.yaml import YAML

        yaml = YAML()
        yaml.width = 1000  # keeps line breaks as they are
        read_yaml(checkout.params)  # rejects documents that must not be expanded
        document: Any = yaml.load(checkout.params.read_text(encoding="utf-8-sig"))
        for key, value in values.items():
            *path, last = key.split(".")
            block = document
            for part in path:
                if not isinstance(block, dict) or part not in block:
                    raise ConfigError(f"overrides: params.yaml has no entry {'.'.join(path)!r}")
                block = block[part]
            if not path or not isinstance(block, dict):
                raise ConfigError(f"overrides: {key!r} is not a key of an entry, such as a.b.c")
            block[last] = value
        text = io.StringIO()
        yaml.dump(document, text)
        write_text(checkout.params, text.getvalue())
    return load_params(checkout.params)


def _sweep(home: Project, parent: Path) -> None:
    """Remove checkouts that no process uses; nothing outside `parent` is changed."""
    names = {path.name.removesuffix(".lock") for path in parent.iterdir()}
    names |= {path.name for path in worktrees_in(home, parent)}
    for name in sorted(names):
        lock = parent / f"{name}.lock"
        with attempted(lock) as mine:
            if mine:
                remove_worktree(home, parent / name)
                lock.unlink(missing_ok=True)
