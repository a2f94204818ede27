"""Folders that hold content under the name of its hash: links into them are as good as files."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from genmint.dvc_config import cache_dir
from genmint.project import Project


def content_stores(project: Project, source: Path) -> Callable[[], tuple[Path, ...]]:
    """What returns the content stores that a source may link into, with links resolved.

    They are the DVC caches of the project, of its main repository, and of the repository that
    `source` lies in. They are looked up at the first call: most sources hold no links, and reading
    DVC's configuration takes half a second.

    Raises:
        GenmintError: (the returned function) DVC's configuration is damaged.
    """

    @cache
    def stores() -> tuple[Path, ...]:
        found = (_repository(path) for path in (project.root, project.home, source))
        roots = dict.fromkeys(root for root in found if root is not None)
        return tuple(dict.fromkeys(Path(os.path.realpath(cache_dir(root))) for root in roots))

    return stores


def _repository(path: Path) -> Path | None:
    """The DVC repository that a path lies in, if any."""
    for folder in (path, *path.parents):
        if (folder / ".dvc").is_dir():
            return folder
    return None
