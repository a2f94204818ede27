"""Transfer of inputs and results between flow and worker, by a shared cache or a DVC remote."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from genmint.common.dvc_config import cache_dir, has_remote, lacks_run_cache
from genmint.common.errors import ConfigError, GenmintError, TemporaryError
from genmint.common.files import write_text
from genmint.common.programs import git, run_dvc
from genmint.common.project import Project
from genmint.flow.checkout import git_remote

_TOKEN = "genmint.id"  # noqa: S105 - a name, not a secret


def cache_token(project: Project) -> str:
    """Return the random id of the project's DVC cache; equal ids mean a shared cache."""
    path = cache_dir(project.root) / _TOKEN
    if not path.exists():
        write_text(path, secrets.token_hex(8))
    return path.read_text(encoding="utf-8").strip()


def offer(home: Project, checkout: Project, commit: str, stages: Sequence[str], ref: str) -> None:
    """Push a commit and the outputs of these stages for workers on other machines.

    Without a git remote and a DVC remote nothing is done, since workers then share this repository.

    Raises:
        TemporaryError: a remote did not accept them.
    """
    remote = git_remote(home)
    if remote is None or not has_remote(checkout.root):
        return
    try:
        git(home, "push", "--no-verify", "--force", remote, f"{commit}:{ref}")
        run_dvc(checkout, "push", *stages)
    except GenmintError as error:
        raise TemporaryError(str(error)) from None


def obtain_commit(home: Project, commit: str, ref: str) -> None:
    """Fetch a commit if it does not exist here.

    Raises:
        ConfigError: the commit does not exist here, and there is no remote to fetch it from.
        TemporaryError: the fetch failed.
    """
    try:
        git(home, "cat-file", "-e", f"{commit}^{{commit}}")
    except GenmintError:
        remote = git_remote(home)
        if remote is None:
            raise ConfigError(
                f"{home.root}: has neither commit {commit[:12]} nor a git remote to fetch it from. "
                "A worker needs the repository of its flow, or a clone with the same remote."
            ) from None
        try:
            git(home, "fetch", remote, ref)
            git(home, "cat-file", "-e", f"{commit}^{{commit}}")
        except GenmintError as error:
            raise TemporaryError(str(error)) from None


def obtain(checkout: Project, stages: Sequence[str], token: str) -> bool:
    """Restore the outputs of these stages in a checkout; return whether the flow's cache is shared.

    Raises:
        ConfigError: the cache is not shared, and DVC has no remote or one without a run-cache.
        TemporaryError: the download from the remote failed.
    """
    if cache_token(checkout) == token:
        run_dvc(checkout, "checkout", *stages)
        return True
    if not has_remote(checkout.root):
        raise ConfigError(
            f"{checkout.root}: shares no DVC cache with the flow, and DVC has no default remote. "
            "Run `dvc remote add --default NAME URL` in both repositories, and commit it."
        )
    address = lacks_run_cache(checkout.root)
    if address is not None:
        # Checked early, because results could not be sent back after hours of training.
        raise ConfigError(
            f"{checkout.root}: DVC's default remote {address} is plain HTTP, over which DVC "
            "keeps no run-cache: the flow would not find what trains here. Use another kind of "
            "remote (S3, SSH, WebDAV, a shared folder), or share one cache (`dvc cache dir`)."
        )
    try:
        run_dvc(checkout, "pull", *stages)
    except GenmintError as error:
        raise TemporaryError(str(error)) from None
    return False


def give_back(checkout: Project, stages: Sequence[str], *, upstream: bool = False) -> None:
    """Push the results of these stages and the run-cache to the DVC remote.

    Args:
        checkout: checkout in which they ran.
        stages: names of the stages.
        upstream: also push the results that they depend on.

    Raises:
        TemporaryError: the remote did not accept them.
    """
    try:
        run_dvc(checkout, "push", "--run-cache", *(["--with-deps"] if upstream else []), *stages)
    except GenmintError as error:
        raise TemporaryError(str(error)) from None


def take_back(checkout: Project) -> None:
    """Fetch the run-cache, which lets DVC find the workers' results.

    Raises:
        TemporaryError: the download from the remote failed.
    """
    try:
        run_dvc(checkout, "fetch", "--run-cache")
    except GenmintError as error:
        raise TemporaryError(str(error)) from None
