"""Folders that hold content under the name of its hash: links into them are as good as files."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from genmint.errors import GenmintError
from genmint.project import Project


def dvc_config(root: Path) -> Any:
    """DVC's configuration of a repository, all levels merged, its paths absolute.

    Args:
        root: folder that holds `.dvc`.

    Raises:
        GenmintError: it is damaged.
    """
    from dvc.config import Config
    from dvc.exceptions import DvcException

    try:
        return Config(str(root / ".dvc"))
    except DvcException as error:
        raise GenmintError(f"{root / '.dvc'}: {error}") from None


def cache_dir(root: Path) -> Path:
    """Folder of the DVC cache of a repository.

    Raises:
        GenmintError: DVC's configuration is damaged.
    """
    return Path(dvc_config(root).get("cache", {}).get("dir") or root / ".dvc" / "cache")


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
