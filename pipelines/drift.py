"""Flow `drift`: check data sets for drift, and request a retraining of the affected models.

Every data set with an entry under `drift` in params.yaml is checked: new or changed data go
through ingest and Great Expectations, and windows of new items are compared with the training data
of the models (docs/drift.md). The decisions and their reasons are on the flow's page, in its log,
and in .genmint/drift/NAME/looks. If data fail their validation, the flow fails, and an alert is
sent.
"""

from __future__ import annotations

import genmint.flow.environment  # noqa: F401 - first, since Prefect reads its settings on import

# isort: split

from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.project import Project
from genmint.common.tags import dataset_resource, drift_event
from genmint.drift.check import Progress, check_drift, watched
from genmint.drift.decision import DriftCheck, RequestedRetraining
from genmint.drift.show import drift_page
from genmint.drift.state import DriftStore, now
from genmint.flow.home import find_home
from genmint.services.parameter_form import WatchedNames
from genmint.services.retries import RETRY_OPTIONS, find_commit
from genmint.services.run_names import drift_name, naming

# Before Prefect's client is created: its server may be on this machine.

RETRAIN = "retrain/nightly"


@flow(name="drift", flow_run_name=naming(drift_name))
def drift(
    datasets: WatchedNames = None,
    retrain: bool = True,
    revision: str = "HEAD",
    ignore_uncommitted: bool = False,
) -> str:
    """Check data sets, and request a retraining of the models whose data drifted.

    Args:
        datasets: names of entries under `drift` in params.yaml; None means all of them.
        retrain: request the retraining; if false, only report the decisions.
        revision: git revision whose settings apply, and which is retrained with the current data. A
            revision of a remote, such as origin/main, is fetched first.
        ignore_uncommitted: use the committed files although tracked files differ from them.

    Raises:
        ConfigError: a parameter names something that does not exist, or files are not committed.
        GenmintError: data failed their validation, or a check failed; other data sets were checked.
    """
    home = find_home()
    # Once, so that all checks of a flow use the same commit.
    commit = find_commit(home, revision, ignore_uncommitted)
    names = datasets or watched(home, revision=commit, ignore_uncommitted=ignore_uncommitted)
    say, decisions, failures = get_run_logger(), [], {}
    for name in names:
        try:
            decision = run_check.with_options(task_run_name=name)(
                home, name, commit, ignore_uncommitted
            )
        except GenmintError as error:
            failures[name] = str(error)
            continue
        decisions.append(decision)
        say.info(str(decision))
        _tell(decision)
        if decision.verdict == "stopped":
            failures[name] = decision.reason
    drifted = [decision for decision in decisions if decision.verdict == "drift"]
    requested = None
    if drifted and retrain:
        requested = ask(home, drifted, ignore_uncommitted)
        say.info("requested a retraining: flow run %s", requested.run)
    create_markdown_artifact(drift_page(decisions, failures, requested), key="drift")
    if failures:
        messages = (why if name in why else f"{name}: {why}" for name, why in failures.items())
        raise GenmintError("; ".join(messages))
    return "; ".join(f"{each.dataset}: {each.verdict}" for each in decisions) or "nothing watched"


@task(name="look", **RETRY_OPTIONS)
def run_check(home: Project, name: str, commit: str, ignore_uncommitted: bool) -> DriftCheck:
    """Run one drift check of one data set."""
    return check_drift(home, name, revision=commit, ignore_uncommitted=ignore_uncommitted,
                progress=_progress)  # fmt: skip


def ask(home: Project, drifted: list[DriftCheck], ignore_uncommitted: bool) -> RequestedRetraining:
    """Request a retraining of the models of these data sets, and record the request.

    The flow does not wait for it: it may be queued for hours, and the next check reads its state.
    """
    names = [decision.dataset for decision in drifted]
    models = dict.fromkeys(model for decision in drifted for model in decision.models)
    try:
        run = run_deployment(
            RETRAIN,
            parameters={
                "models": list(models),
                "revision": drifted[0].revision,
                "fresh": names,
                "ignore_uncommitted": ignore_uncommitted,
            },
            tags=["drift", *names],
            timeout=0,
            as_subflow=False,
            idempotency_key=f"drift:{':'.join(decision.at for decision in drifted)}",
        )
    except ObjectNotFound:
        raise ConfigError(
            f"Prefect has no deployment {RETRAIN}, so nothing can be retrained. "
            "Run `genmint deploy`."
        ) from None
    requested = RequestedRetraining(run=str(run.id), at=now(), revision=drifted[0].revision)
    for name in names:
        DriftStore(home, name).ask(requested)
    return requested


def _progress(requested: RequestedRetraining) -> Progress:
    """State of a requested retraining; one that Prefect no longer knows has failed."""
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(requested.run)).state
        except ObjectNotFound:
            return "failed"
    if state is None or not state.is_final():
        return "running"
    return "completed" if state.is_completed() else "failed"


def _tell(decision: DriftCheck) -> None:
    """Emit an event for a decision, which automations can react to."""
    emit_event(
        drift_event(decision.verdict),
        resource={"prefect.resource.id": dataset_resource(decision.dataset),
                  "prefect.resource.name": decision.dataset},
        payload={"reason": decision.reason},
    )  # fmt: skip
