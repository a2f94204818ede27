"""Content-addressed folders; links into them count as regular files."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from genmint.common.dvc_config import cache_dir
from genmint.common.project import Project


def content_stores(project: Project, source: Path) -> Callable[[], tuple[Path, ...]]:
    """Return a function for the content stores that a source may link into, with links resolved.

    They are the DVC caches of the project, of its main repository, and of the repository of
    `source`, and git-annex's objects of the latter. They are determined at the first call: most
    sources have no links, and reading DVC's configuration takes half a second.

    Raises:
        GenmintError: (the returned function) DVC's configuration is damaged.
    """

    @cache
    def stores() -> tuple[Path, ...]:
        repositories = (_repository(path) for path in (project.root, project.home, source))
        roots = dict.fromkeys(root for root in repositories if root is not None)
        annexed = (folder / ".git/annex/objects" for folder in (source, *source.parents))
        all_stores = [*map(cache_dir, roots), *(store for store in annexed if store.is_dir())]
        return tuple(dict.fromkeys(Path(os.path.realpath(store)) for store in all_stores))

    return stores


def _repository(path: Path) -> Path | None:
    """Return the DVC repository that contains a path, None if there is none."""
    for folder in (path, *path.parents):
        if (folder / ".dvc").is_dir():
            return folder
    return None
