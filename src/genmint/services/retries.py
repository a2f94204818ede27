"""Retry options of flow tasks, and the task that resolves a flow's commit."""

from __future__ import annotations

from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from genmint.common.project import Project
from genmint.flow.revision import described, resolve_revision
from genmint.flow.stage import is_transient


def _is_transient(_task: Any, _run: Any, state: Any) -> bool:
    return is_transient(state.result(raise_on_failure=False))


# Task options that retry temporary errors.
RETRY_OPTIONS: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [2, 10, 30],
    "retry_condition_fn": _is_transient,
    "persist_result": False,
    "cache_policy": NO_CACHE,
}


@task(name="revision", **RETRY_OPTIONS)
def find_commit(home: Project, revision: str, ignore_uncommitted: bool) -> str:
    """Resolve the commit of a flow and log its age; fetch a remote branch first.

    Raises:
        ConfigError: there is no such revision; or tracked files differ from the commit and this is
            not to be ignored.
        TemporaryError: the revision belongs to a remote that cannot be reached.
    """
    commit = resolve_revision(home, revision, ignore_uncommitted=ignore_uncommitted)
    get_run_logger().info("%s is commit %s", revision, described(home, commit))
    return commit
