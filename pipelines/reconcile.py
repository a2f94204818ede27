"""Flow `reconcile`: the pass of `genmint reconcile` on a schedule.

What a person did to aliases in MLflow is honoured or put back, and half-done moves are finished
(docs/registry.md). Where something was put back, an event says so, on which the alert acts.
"""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from genmint.errors import ConfigError, GenmintError
from genmint.flow.checkout import resolve
from genmint.flow.committed import params_at
from genmint.flow.home import find_home
from genmint.flow.stage import heals
from genmint.project import Project
from genmint.reconcile import Outcome
from genmint.reconcile import reconcile as run_pass
from genmint.services.alerts import PUT_BACK


def _heals(_task: Any, _run: Any, state: Any) -> bool:
    return heals(state.result(raise_on_failure=False))


@flow(name="reconcile", flow_run_name="reconcile")
def reconcile(models: list[str] | None = None, revision: str = "HEAD") -> str:
    """Bring aliases and journal together, once.

    Args:
        models: names of blocks in params.yaml; none means all.
        revision: of git whose gates apply; edits that lie about do not.

    Raises:
        ConfigError: there is no such model.
        RegistryUnreachableError: the registry does not answer.
        GenmintError: a model's aliases could not be mended; the others were.
    """
    outcomes = mend(find_home(), models or [], revision)
    for outcome in outcomes:
        get_run_logger().info(str(outcome))
        if outcome.verdict in ("put back", "withdrawn"):
            _tell_put_back(outcome)
    create_table_artifact(
        [
            {
                "model": outcome.name,
                "verdict": outcome.verdict,
                "champion": outcome.champion or "none",
                "why": outcome.reason,
            }
            for outcome in outcomes
        ],
        key="reconcile",
    )
    amiss = [f"{outcome.name}: {outcome.reason}" for outcome in outcomes if outcome.exit_code]
    if amiss:
        raise GenmintError("; ".join(amiss))
    acted = [outcome for outcome in outcomes if outcome.verdict != "in order"]
    return "; ".join(f"{outcome.name}: {outcome.verdict}" for outcome in acted) or "in order"


@task(name="pass", retries=3, retry_delay_seconds=[2, 10, 30], retry_condition_fn=_heals,
      persist_result=False, cache_policy=NO_CACHE)  # fmt: skip
def mend(home: Project, models: list[str], revision: str) -> list[Outcome]:
    """One pass; tried again where the registry does not answer."""
    params = params_at(home, resolve(home, revision, ignore_uncommitted=True))
    unknown = [name for name in models if name not in params.models]
    if unknown:
        raise ConfigError(
            f"models: params.yaml has no model {', '.join(unknown)}; "
            f"there are: {', '.join(params.models)}"
        )
    return run_pass(home, params, models or list(params.models))


def _tell_put_back(outcome: Outcome) -> None:
    emit_event(
        PUT_BACK,
        resource={"prefect.resource.id": f"genmint.model.{outcome.name}",
                  "prefect.resource.name": outcome.name},
        payload={"reason": outcome.reason, "champion": outcome.champion},
    )  # fmt: skip
