"""How inputs reach a worker and results come back: one cache if both have it, else a DVC remote."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from genmint.dvc_config import cache_dir, has_remote
from genmint.errors import ConfigError, GenmintError, TemporaryError
from genmint.files import write_text
from genmint.flow.checkout import git_remote
from genmint.programs import git, run_dvc
from genmint.project import Project

_TOKEN = "genmint.id"  # noqa: S105 - a name, not a secret


def cache_token(project: Project) -> str:
    """A random name of the project's DVC cache: two checkouts with the same name share it."""
    path = cache_dir(project.root) / _TOKEN
    if not path.exists():
        write_text(path, secrets.token_hex(8))
    return path.read_text(encoding="utf-8").strip()


def offer(home: Project, checkout: Project, commit: str, stages: Sequence[str], ref: str) -> None:
    """Let workers on other machines have a commit and the outputs of these stages.

    Without a git remote and a DVC remote there is nothing to do: workers share this repository.

    Raises:
        TemporaryError: a remote did not take them.
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
    """Have a commit here, fetched if need be.

    Raises:
        ConfigError: it is not here, and there is no remote to fetch it from.
        TemporaryError: it cannot be fetched.
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
    """Put the outputs of these stages into a checkout; return whether the cache is the flow's own.

    Raises:
        ConfigError: the cache is another, and DVC has no remote.
        TemporaryError: the remote does not give them.
    """
    if cache_token(checkout) == token:
        run_dvc(checkout, "checkout", *stages)
        return True
    if not has_remote(checkout.root):
        raise ConfigError(
            f"{checkout.root}: shares no DVC cache with the flow, and DVC has no default remote. "
            "Run `dvc remote add --default NAME URL` in both repositories, and commit it."
        )
    try:
        run_dvc(checkout, "pull", *stages)
    except GenmintError as error:
        raise TemporaryError(str(error)) from None
    return False


def give_back(checkout: Project, stages: Sequence[str], *, upstream: bool = False) -> None:
    """Send the results of these stages to DVC's remote, with the run-cache that finds them.

    Args:
        checkout: in which they ran.
        stages: their names.
        upstream: also the results that they depend on.

    Raises:
        TemporaryError: the remote did not take them.
    """
    try:
        run_dvc(checkout, "push", "--run-cache", *(["--with-deps"] if upstream else []), *stages)
    except GenmintError as error:
        raise TemporaryError(str(error)) from None


def take_back(checkout: Project) -> None:
    """Fetch the run-cache, by which DVC then finds what workers made.

    Raises:
        TemporaryError: the remote does not give it.
    """
    try:
        run_dvc(checkout, "fetch", "--run-cache")
    except GenmintError as error:
        raise TemporaryError(str(error)) from None
