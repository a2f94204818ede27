"""DVC's configuration of a repository, and how a second working tree comes to share it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genmint.errors import GenmintError


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


def has_remote(root: Path) -> bool:
    """Whether DVC has a default remote.

    Raises:
        GenmintError: DVC's configuration is damaged.
    """
    return "remote" in dvc_config(root).get("core", {})


def share_cache(root: Path, worktree: Path) -> None:
    """Let a second working tree use the cache and the remotes of a repository, also local ones.

    Paths in DVC's configuration are relative to where it lies, so they are written out.

    Args:
        root: folder of the repository that holds `.dvc`.
        worktree: the same folder of the other working tree.

    Raises:
        GenmintError: the repository is none of DVC's, or its configuration is damaged.
    """
    from configobj import ConfigObj

    config = dvc_config(root)
    local: dict[str, Any] = {
        f'remote "{name}"': dict(remote) for name, remote in config.get("remote", {}).items()
    }
    if "remote" in config.get("core", {}):
        local["core"] = {"remote": config["core"]["remote"]}
    # Links cost no time and no space; what lies in a worktree is only read, or removed whole.
    local["cache"] = {"dir": str(cache_dir(root)), "type": "reflink,hardlink,copy"}
    # Not by DVC's own writer: it knows ASCII only, and a path may have other letters.
    with (worktree / ".dvc" / "config.local").open("wb") as stream:
        ConfigObj(local, encoding="utf-8").write(stream)
