"""Flow `drift`: look at data sets, and have models retrained whose data drifted.

Every data set with a block under `drift` in params.yaml is looked at: new or changed data go
through ingest and Great Expectations, and windows of new items are compared with what the models
learned (docs/drift.md). What is decided, and why, is on the flow's page, in its log, and in
.genmint/drift/NAME/looks. Data that may not enter make the flow fail, so that somebody hears of it.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound

from genmint.drift.decision import Asked, Decision
from genmint.drift.look import Progress, look, watched
from genmint.drift.show import page
from genmint.drift.state import Shelf, now
from genmint.errors import ConfigError, GenmintError
from genmint.flow.home import find_home
from genmint.flow.stage import heals
from genmint.project import Project

RETRAIN = "retrain/nightly"


def _heals(_task: Any, _run: Any, state: Any) -> bool:
    return heals(state.result(raise_on_failure=False))


@flow(name="drift", flow_run_name="drift")
def drift(
    datasets: list[str] | None = None,
    retrain: bool = True,
    revision: str = "HEAD",
    ignore_uncommitted: bool = False,
) -> str:
    """Look at data sets, and ask for a retraining of the models whose data drifted.

    Args:
        datasets: names of blocks under `drift` in params.yaml; none means all of them.
        retrain: ask for it; otherwise only say what would be asked.
        revision: of git whose settings apply, and which is retrained with the data of now.
        ignore_uncommitted: go by what is committed although tracked files differ from it.

    Raises:
        ConfigError: the parameters name what is not there, or files are not committed.
        GenmintError: data may not enter, or a look failed; the other data sets were looked at.
    """
    home = find_home()
    names = datasets or watched(home, revision=revision, ignore_uncommitted=ignore_uncommitted)
    say, decisions, failures = get_run_logger(), [], {}
    for name in names:
        try:
            decision = take_look.with_options(task_run_name=name)(
                home, name, revision, ignore_uncommitted
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
    asked = None
    if drifted and retrain:
        asked = ask(home, drifted, ignore_uncommitted)
        say.info("asked for a retraining: flow run %s", asked.run)
    create_markdown_artifact(page(decisions, failures, asked), key="drift")
    if failures:
        said = (why if name in why else f"{name}: {why}" for name, why in failures.items())
        raise GenmintError("; ".join(said))
    return "; ".join(f"{each.dataset}: {each.verdict}" for each in decisions) or "nothing watched"


@task(name="look", retries=3, retry_delay_seconds=[2, 10, 30], retry_condition_fn=_heals,
      persist_result=False, cache_policy=NO_CACHE)  # fmt: skip
def take_look(home: Project, name: str, revision: str, ignore_uncommitted: bool) -> Decision:
    """One look at one data set."""
    return look(home, name, revision=revision, ignore_uncommitted=ignore_uncommitted,
                progress=_progress)  # fmt: skip


def ask(home: Project, drifted: list[Decision], ignore_uncommitted: bool) -> Asked:
    """Ask for a retraining of the models of these data sets, and note that it was asked for.

    It is not waited for: it may stand behind others for hours, and the next look meets it.
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
            "Run `prefect deploy --all`."
        ) from None
    asked = Asked(run=str(run.id), at=now(), revision=drifted[0].revision)
    for name in names:
        Shelf(home, name).ask(asked)
    return asked


def _progress(asked: Asked) -> Progress:
    """What became of a retraining; one that Prefect does not know any more has failed."""
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(asked.run)).state
        except ObjectNotFound:
            return "failed"
    if state is None or not state.is_final():
        return "running"
    return "completed" if state.is_completed() else "failed"


def _tell(decision: Decision) -> None:
    """An event for each decision, on which automations can act."""
    emit_event(
        f"genmint.drift.{decision.verdict.replace(' ', '-')}",
        resource={"prefect.resource.id": f"genmint.dataset.{decision.dataset}",
                  "prefect.resource.name": decision.dataset},
        payload={"reason": decision.reason},
    )  # fmt: skip
