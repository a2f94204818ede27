"""Flow `reconcile`: `genmint reconcile` on a schedule.

Aliases that a person moved in MLflow are accepted or reverted, and interrupted moves are completed
(docs/registry.md). A reverted alias emits an event, which causes an alert.
"""

from __future__ import annotations

import genmint.flow.environment  # noqa: F401 - first, since Prefect reads its settings on import

# isort: split


from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.events import emit_event

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.project import Project
from genmint.common.tags import PUT_BACK_EVENT, model_resource
from genmint.flow.committed import params_at
from genmint.flow.home import find_home
from genmint.flow.revision import resolve_revision
from genmint.promotion.reconcile import ReconcileResult
from genmint.promotion.reconcile import reconcile as run_pass
from genmint.services.parameter_form import ModelNames
from genmint.services.retries import RETRY_OPTIONS
from genmint.services.run_names import naming, reconcile_name

# Before Prefect's client is created: its server may be on this machine.


@flow(name="reconcile", flow_run_name=naming(reconcile_name))
def reconcile(models: ModelNames = None, revision: str = "HEAD") -> str:
    """Make aliases and journal agree, once.

    Args:
        models: names of model entries in params.yaml; None means all.
        revision: git revision whose gates apply; uncommitted changes are ignored. A revision of a
            remote, such as origin/main, is fetched first.

    Raises:
        ConfigError: there is no such model.
        RegistryUnreachableError: the registry does not answer.
        TemporaryError: the revision belongs to a remote that cannot be fetched.
        GenmintError: the aliases of a model could not be reconciled; those of the others were.
    """
    outcomes = reconcile_models(find_home(), models or [], revision)
    for outcome in outcomes:
        get_run_logger().info(str(outcome))
        if outcome.verdict in ("reverted", "withdrawn"):
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


@task(name="pass", **RETRY_OPTIONS)
def reconcile_models(home: Project, models: list[str], revision: str) -> list[ReconcileResult]:
    """Reconcile once; retried if the registry does not answer."""
    params = params_at(home, resolve_revision(home, revision, ignore_uncommitted=True))
    unknown = [name for name in models if name not in params.models]
    if unknown:
        raise ConfigError(
            f"models: params.yaml has no model {', '.join(unknown)}; "
            f"there are: {', '.join(params.models)}"
        )
    return run_pass(home, params, models or list(params.models))


def _tell_put_back(outcome: ReconcileResult) -> None:
    emit_event(
        PUT_BACK_EVENT,
        resource={"prefect.resource.id": model_resource(outcome.name),
                  "prefect.resource.name": outcome.name},
        payload={"reason": outcome.reason, "champion": outcome.champion},
    )  # fmt: skip
