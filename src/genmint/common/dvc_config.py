"""DVC configuration of a repository, and sharing it with a second working tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genmint.common.errors import GenmintError
from genmint.common.file_lock import has_locks


def dvc_config(root: Path) -> Any:
    """Return the DVC configuration of a repository, all levels merged, with absolute paths.

    Args:
        root: folder that holds `.dvc`.

    Raises:
        GenmintError: the configuration is damaged.
    """
    from dvc.config import Config
    from dvc.exceptions import DvcException

    try:
        return Config(str(root / ".dvc"))
    except DvcException as error:
        raise GenmintError(f"{root / '.dvc'}: {error}") from None


def cache_dir(root: Path) -> Path:
    """Return the DVC cache folder of a repository.

    Raises:
        GenmintError: the DVC configuration is damaged.
    """
    return Path(dvc_config(root).get("cache", {}).get("dir") or root / ".dvc" / "cache")


def has_remote(root: Path) -> bool:
    """Return whether DVC has a default remote.

    Raises:
        GenmintError: the DVC configuration is damaged.
    """
    return "remote" in dvc_config(root).get("core", {})


def lacks_run_cache(root: Path) -> str | None:
    """Return the address of the default remote if it cannot hold a run-cache, else None.

    Over HTTP, DVC transfers files but no run-cache, and does not report it.

    Raises:
        GenmintError: the DVC configuration is damaged.
    """
    config = dvc_config(root)
    name = config.get("core", {}).get("remote")
    address = str(config.get("remote", {}).get(name, {}).get("url", ""))
    return address if address.lower().startswith(("http://", "https://")) else None


def share_cache(root: Path, worktree: Path) -> None:
    """Configure a second working tree to use the cache and remotes of a repository.

    Local remotes are included. Relative paths in a DVC configuration depend on its location, so
    absolute paths are written.

    Args:
        root: folder of the repository that holds `.dvc`.
        worktree: the same folder of the other working tree.

    Raises:
        GenmintError: the repository is not a DVC repository, or its configuration is damaged.
    """
    from configobj import ConfigObj

    config = dvc_config(root)
    local: dict[str, Any] = {
        f'remote "{name}"': dict(remote) for name, remote in config.get("remote", {}).items()
    }
    core = {"remote": config["core"]["remote"]} if "remote" in config.get("core", {}) else {}
    if config.get("core", {}).get("hardlink_lock") or not has_locks(worktree):
        core["hardlink_lock"] = "true"
    if core:
        local["core"] = core
    # Links take no time and no space. Outputs in a worktree are only read, or removed as a whole.
    local["cache"] = {"dir": str(cache_dir(root)), "type": "reflink,hardlink,copy"}
    # DVC's own writer supports ASCII only, and a path may contain other characters.
    with (worktree / ".dvc" / "config.local").open("wb") as stream:
        ConfigObj(local, encoding="utf-8").write(stream)
