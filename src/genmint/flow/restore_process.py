"""Process that reads DVC's graph and restores stages: `python restore_process.py [STAGE …]`.

It starts DVC once for all stages. A stage that did not change, or whose result DVC's cache has, is
brought up to date; one that has to run is left to the flow, with those that need it. It runs in the
checkout of a flow, whose code may be older, so it imports DVC and the standard library only.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, NoReturn

GRAPH_LINE = "GRAPH"
STAGE_LINE = "RESTORED"


class MustRunError(Exception):
    """A stage would have to run."""


def main() -> None:
    """Print the graph of the working directory, then each stage that could be restored."""
    from dvc.repo import Repo

    with Repo() as repo:
        graph = repo.index.graph
        needs = {
            stage.addressing: sorted({need.addressing for need in graph.successors(stage)})
            for stage in graph.nodes
        }
        _write(GRAPH_LINE + json.dumps(needs))
        if sys.argv[1:]:
            try:
                _restore(repo, sys.argv[1:])
            except Exception as error:  # noqa: BLE001 - the flow runs whatever was not restored
                _write(f"not restored: {error}")


def _restore(repo: Any, stages: list[str]) -> None:
    import dvc.stage.run

    restored: list[Any] = []
    outcomes: list[tuple[str, str, float]] = []

    def refuse(stage: Any, **_how: Any) -> NoReturn:
        raise MustRunError(f"{stage.addressing} has to run")

    def restore_stage(stage: Any, **how: Any) -> Any:
        # Data that a person added are restored by the flow, before.
        if not stage.cmd:
            return None
        began = time.monotonic()
        changed = stage.reproduce(**how)
        if changed:
            restored.append(changed)
        result = "cached" if changed else "unchanged"
        outcomes.append((stage.addressing, result, time.monotonic() - began))
        return changed

    # DVC has an option to run without its cache of results, and none for the opposite.
    dvc.stage.run.cmd_run = refuse
    _prefer_results_that_are_here()
    try:
        repo.reproduce(stages, on_error="keep-going", repro_fn=restore_stage)
    finally:
        # At once: DVC takes a second to write dvc.lock, and its own loop writes it for every stage.
        with repo.lock:
            if restored:
                restored[0].dvcfile.dump_stages(restored, update_pipeline=False)
        for outcome in outcomes:
            _write(STAGE_LINE + json.dumps(outcome))


def _prefer_results_that_are_here() -> None:
    """Let DVC restore a stage from its run cache if dvc.lock names results that are not here.

    DVC does so only for a stage that changed against dvc.lock. But a committed dvc.lock may have
    the results of another machine, whose measured times differ, while those of this one are in the
    run cache.
    """
    from dvc.stage.cache import RunCacheNotFoundError, StageCache

    restore_by_lock = StageCache.restore

    def restore(cache: Any, stage: Any, **how: Any) -> None:
        try:
            restore_by_lock(cache, stage, **how)
        except RunCacheNotFoundError:
            stage.changed_stage = lambda *_: True
            try:
                restore_by_lock(cache, stage, **how)
            finally:
                del stage.changed_stage

    StageCache.restore = restore


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
