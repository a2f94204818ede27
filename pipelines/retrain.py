"""Flow `retrain`: train models that are out of date, and promote those that became better.

It works in its own checkout of a git revision. DVC's graph determines the order of the stages, and
which stages need not run. train and evaluate of a model are one run of `train-model` on a worker of
the pool `gpu`; the rest runs here. docs/retraining.md describes the reaction to failures.
"""

from __future__ import annotations

import genmint.flow.environment  # noqa: F401 - first, since Prefect reads its settings on import

# isort: split

import time
from contextlib import AbstractContextManager
from typing import Any, Literal

import httpx
from prefect import flow, get_run_logger, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner

from genmint.common.cores import cores, threads_setting
from genmint.common.dvc_config import has_remote
from genmint.common.dvc_lock import read_lock
from genmint.common.errors import ConfigError, GenmintError, TrainsElsewhereError
from genmint.common.files import sha256_json
from genmint.common.project import Project
from genmint.common.tags import REFUSALS_LABEL, model_resource, verdict_event
from genmint.config import Params
from genmint.flow import champions, publish, summary, transfer
from genmint.flow.adoption import adopt_each
from genmint.flow.checkout import checked_out, override
from genmint.flow.graph import Unit, data_unit, read_graph, remaining, stages_for, units, weights
from genmint.flow.home import find_home
from genmint.flow.kept_reports import keep_validation
from genmint.flow.slots import Slots
from genmint.flow.stage import ProcessGroup, StageError, StageOutcome, reproduce
from genmint.flow.worker import train_and_evaluate
from genmint.services.attempts import Attempts
from genmint.services.durations import expected_seconds
from genmint.services.parameter_form import DatasetNames, ModelNames, StageVerbs
from genmint.services.result_page import ResultPage
from genmint.services.retries import RETRY_OPTIONS, find_commit
from genmint.services.run_names import naming, retrain_name
from genmint.services.waiting import CORES, showing_locks, waiting
from genmint.services.worker_runs import WorkerRuns, check_deployed


class Work:
    """State that the tasks of one flow run share."""

    def __init__(
        self, home: Project, checkout: Project, params: Params, result: summary.FlowResult,
        force: tuple[str, ...], on_workers: bool, at_once: int,
    ) -> None:  # fmt: skip
        """Divide the cores of this machine between the stages that run here at once."""
        self.home = home
        self.checkout = checkout
        self.params = params
        self.result = result
        self.force = force
        self.on_workers = on_workers
        self.process_group = ProcessGroup()
        run = _this_run()
        self.run_id = str(run.id)
        self.resumed = run.run_count > 1
        self.attempts = Attempts(run, get_run_logger().warning)
        self.worker_runs = WorkerRuns(run.work_queue_name)
        self.token = transfer.cache_token(home)
        self.threads = threads_setting() or max(1, cores() // at_once)
        self.slots = Slots(max(1, cores() // self.threads))
        self.weights: dict[str, float] = {}

    def here(self, unit: Unit, **how: Any) -> list[StageOutcome]:
        """Run the stages of a unit on this machine, as soon as cores are free."""
        say = get_run_logger().info
        if how.get("may_train", True):
            say = self.attempts.listening(say)
        with self.core_for(unit), showing_locks(say) as tell:
            return reproduce(self.checkout, unit.stages, process_group=self.process_group, say=tell,
                             threads=self.threads, **how)  # fmt: skip

    def core_for(self, unit: Unit) -> AbstractContextManager[None]:
        """Wait for a core, and hold it in the `with` block."""
        return self.slots.taken(self.weights[unit.name], waiting(CORES))

    def end(self) -> None:
        """End the processes here, and cancel the runs that were requested from workers."""
        self.worker_runs.stop()
        self.process_group.end()
        self.worker_runs.cancel()


@flow(name="retrain", flow_run_name=naming(retrain_name),
      task_runner=ThreadPoolTaskRunner(max_workers=256))  # fmt: skip
def retrain(
    models: ModelNames = None,
    revision: str = "HEAD",
    overrides: dict[str, Any] | None = None,
    ignore_uncommitted: bool = False,
    fresh: DatasetNames = None,
    force: StageVerbs = None,
    train_on: Literal["workers", "here"] = "workers",
) -> State[str]:
    """Train models that are out of date, promote those that became better.

    The returned state has the outcomes of the models as its message, and the headline as its data.

    Args:
        models: names of model entries in params.yaml; None means all.
        revision: git revision in the repository of this machine; its files are used as committed.
            A revision of a remote, such as origin/main, is fetched first.
        overrides: keys of params.yaml and their values, such as {"models.image-vae.steps": 100}.
        ignore_uncommitted: train the committed files although tracked files differ from them.
        fresh: data sets whose folder is used as it is in the repository now, whatever is committed;
            it is added to DVC, and the published branch names its content.
        force: verbs of stages that run although nothing changed, such as ["train", "evaluate"].
        train_on: workers of the pool `gpu`; or here, on the machine of this process, without
            Prefect's workers.

    Raises:
        ConfigError: a parameter names something that does not exist, or files are not committed.
        TemporaryError: the revision belongs to a remote that cannot be fetched.
        GenmintError: a model could not be trained or promoted; the page names it, and the others
            are done.
    """
    home = find_home()
    commit = find_commit(home, revision, ignore_uncommitted)
    if train_on == "workers":
        check_deployed()
    page = ResultPage(_this_run().id, "retrain")
    if page.address:
        get_run_logger().info("Result page: %s", page.address)
    result = summary.FlowResult(commit)
    if (attempt := _this_run().run_count) > 1:
        result.notes.append(f"Attempt {attempt} of this run, which went on after a crash: 'ran' "
                           "counts for all attempts, seconds for the last.")  # fmt: skip
    with checked_out(home, commit, str(_this_run().id)[:8]) as checkout:
        params = override(checkout, overrides or {})
        names = _chosen(params, models or [])
        datasets = {params.models[name].dataset for name in names}
        missing = adopt_each(home, checkout, params, tuple(fresh or ()), datasets,
                             ignore_uncommitted=ignore_uncommitted)  # fmt: skip
        result.failures |= {data_unit(name): reason for name, reason in missing.items()}
        at_once = len(datasets) if train_on == "workers" else len(names)
        work = Work(home, checkout, params, result, tuple(force or ()),
                    train_on == "workers", at_once)  # fmt: skip
        try:
            _run(work, result, names)
            _tell(work, result, page)
        except BaseException:
            # Also for a signal: the stages and the requested runs end with their flow.
            work.end()
            raise
    get_run_logger().info(result.headline())
    tag_outcomes(result)
    if result.failures:
        raise GenmintError(
            "; ".join(f"{name}: {reason}" for name, reason in result.failures.items())
        )
    return Completed(message=result.headline(), data=result.headline())


def _run(work: Work, result: summary.FlowResult, names: list[str]) -> None:
    # In parallel to the first stages, since it takes seconds; no alias moves before promotion.
    before = ask_champions.submit(work, names)
    plan = _restored_and_planned(work, result, names)
    work.weights = weights(plan, expected_seconds(names))
    _bring_up_to_date(work, result, plan)
    done = [name for name in names if f"gate@{name}" not in result.failures]
    publish.gather_results(work.checkout, done)
    try:
        result.published = publish_results(work, result, done)
    except GenmintError as error:
        result.failures["publish"] = str(error)
    if result.published is None and publish.uncommitted_lock(work.home):
        result.notes.append(f"No branch: the results are those of {work.home.lock}, which is not "
                           "committed.")  # fmt: skip
    try:
        result.verdicts = promote(work, done, before.result())
    except GenmintError as error:
        result.failures["promote"] = str(error)
    failed = [verdict for verdict in result.verdicts if verdict.verdict == "not promoted"]
    result.failures |= {verdict.name: verdict.reason for verdict in failed}


def _restored_and_planned(work: Work, result: summary.FlowResult, names: list[str]) -> list[Unit]:
    """Bring up to date what need not run, with one start of DVC; return the units that remain."""
    # A resumed flow waits for the runs that its earlier attempt requested.
    restorable = [name for name in names
                  if data_unit(work.params.models[name].dataset) not in result.failures
                  and not work.force and not work.resumed]  # fmt: skip
    read = read_graph(work.checkout, work.process_group, [f"gate@{name}" for name in restorable])
    plan = units(stages_for(read.needs, names))
    left = remaining(plan, {outcome.stage for outcome in read.restored})
    run_here = {stage for unit in left for stage in unit.stages}
    result.outcomes += [each for each in read.restored if each.stage not in run_here]
    get_run_logger().info("%d stages need not run, %d may have to", len(result.outcomes),
                          len(run_here))  # fmt: skip
    return left


def _bring_up_to_date(work: Work, result: summary.FlowResult, plan: list[Unit]) -> None:
    """Start every unit as soon as the units that it needs are done; wait for all."""
    futures: dict[str, Any] = {}
    for unit in plan:
        # A data set without its source has failed before; units that need it are skipped.
        if unit.name not in result.failures and all(need in futures for need in unit.needs):
            unit_task = make.with_options(task_run_name=unit.name)
            needed = [futures[need] for need in unit.needs]
            futures[unit.name] = unit_task.submit(work, unit, wait_for=needed)
    for unit in plan:
        if unit.name in result.failures:
            continue
        if missing := [need for need in unit.needs if need in result.failures]:
            result.failures[unit.name] = f"not run, since {', '.join(missing)} failed"
            continue
        futures[unit.name].wait()
        state = futures[unit.name].state
        if state.is_completed():
            result.outcomes += work.attempts.over_all(state.result())
        else:
            message = str(state.result(raise_on_failure=False) or state.message)
            result.failures[unit.name] = message.removeprefix(f"{unit.name}: ")


@task(name="stage", **RETRY_OPTIONS)
def make(work: Work, unit: Unit) -> list[StageOutcome]:
    """Run one unit: a model on a worker, anything else here."""
    if unit.model is None:
        try:
            return work.here(unit, force=work.force)
        except StageError as error:
            raise _with_kept_reports(work, error) from None
    if not work.on_workers:
        work.result.where[unit.model] = "here"
        say = work.attempts.listening(get_run_logger().info)
        with work.core_for(unit), showing_locks(say) as tell:
            return train_and_evaluate(work.checkout, unit.model, work.force, work.process_group,
                                      tell, work.threads)  # fmt: skip
    if work.resumed or {"train", "evaluate"} & set(work.force):
        # After a restart, it finds the run that it requested before, and that run's actions.
        return _on_worker(work, unit)
    return _from_cache(work, unit) or _on_worker(work, unit)


def _with_kept_reports(work: Work, error: StageError) -> StageError:
    """Error of a validation that names copies of its reports: the checkout is removed."""
    verb, _, dataset = error.stage.partition("@")
    if verb != "validate":
        return error
    kept = work.home.state / "stopped" / dataset
    return error.having(keep_validation(work.checkout, dataset, kept, error.message))


def _from_cache(work: Work, unit: Unit, *, pull: bool = False) -> list[StageOutcome] | None:
    """Outcomes of a model that DVC need not train: it did not change, or is in the cache.

    DVC decides. If it would train, that is refused, and the result is None.
    """
    try:
        return work.here(unit, may_train=False, pull=pull)
    except StageError as error:
        if TrainsElsewhereError.__name__ not in error.kinds:
            raise
        return None


@task(name="champions", **RETRY_OPTIONS)
def ask_champions(work: Work, names: list[str]) -> dict[str, str | None]:
    """Return the champions before anything changes, also before an earlier attempt."""
    return work.attempts.champions(
        names, lambda missing: champions.champions(work.checkout, missing)
    )


@task(name="publish", **RETRY_OPTIONS)
def publish_results(
    work: Work, result: summary.FlowResult, names: list[str]
) -> publish.Published | None:
    """Commit the results to a new branch."""
    return publish.publish(work.home, work.checkout, result.commit, work.run_id[:8],
                           f"retrain: {result.headline()}", models=names)  # fmt: skip


@task(name="promote", **RETRY_OPTIONS)
def promote(
    work: Work, names: list[str], before: dict[str, str | None]
) -> list[summary.ModelResult]:
    """Register the gated models; a better one becomes champion."""
    return champions.promote(
        work.checkout, names, before, work.process_group, get_run_logger().info
    )


def _tell(work: Work, result: summary.FlowResult, page: ResultPage) -> None:
    """Write the page, and emit an event for each result, which automations can react to."""
    tracker = champions.tracker(work.checkout)
    page.write(summary.flow_page(result, work.checkout, tracker), result.headline())
    for each in result.verdicts:
        refused = each.verdict == "refused"
        labels = (
            {REFUSALS_LABEL: str(champions.refusals(work.checkout, each.name))} if refused else {}
        )
        emit_event(
            verdict_event(each.verdict),
            resource={"prefect.resource.id": model_resource(each.name),
                      "prefect.resource.name": each.name, **labels},
            related=[{"prefect.resource.id": f"prefect.flow-run.{work.run_id}",
                      "prefect.resource.role": "flow-run"}],
            payload={"reason": each.reason, "version": each.version,
                     "before": each.before, "after": each.after},
        )  # fmt: skip


def tag_outcomes(result: summary.FlowResult) -> None:
    """Tag the flow run with the outcomes of its models, by which Prefect's pages filter."""
    run = _this_run()
    trained = "trained" if result.trained else "nothing trained"
    tags = {*run.tags, *result.outcomes_of_models(), trained}
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(run.id, tags=sorted(tags))
    except (httpx.TransportError, PrefectHTTPStatusError) as error:
        get_run_logger().warning("tags of the run could not be written: %s", error)


def _this_run() -> Any:
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    return context.flow_run


def _chosen(params: Params, models: list[str]) -> list[str]:
    unknown = [name for name in models if name not in params.models]
    if unknown:
        raise ConfigError(
            f"models: params.yaml has no model {', '.join(unknown)}; "
            f"there are: {', '.join(params.models)}"
        )
    return models or list(params.models)


def _on_worker(work: Work, unit: Unit) -> list[StageOutcome]:
    """Let a worker train a model; DVC then finds the results in its cache."""
    assert unit.model is not None
    name, start = unit.model, time.monotonic()
    say = get_run_logger().info
    dataset = work.params.models[name].dataset
    inputs = [f"{verb}@{dataset}" for verb in ("ingest", "validate", "prepare", "reference")]
    commit = publish.record(work.checkout, f"retrain: inputs of {name}", with_stages=inputs)
    ref = f"refs/genmint/{work.run_id[:8]}-{name}"
    transfer.offer(work.home, work.checkout, commit, inputs, ref)
    order = {"model": name, "commit": commit, "ref": ref, "cache": work.token,
             "force": list(work.force)}  # fmt: skip
    # Keyed by the inputs, not by the commit, which contains the time.
    entries = {stage: read_lock(work.checkout.lock)[stage] for stage in inputs}
    block = work.params.models[name].model_dump(mode="json")
    what = sha256_json([work.result.commit, block, entries])[:16]
    message, before = work.worker_runs.request(name, order, f"{work.run_id}:{name}:{what}")
    # The message has a place and the actions of DVC there; see train_model.py.
    place, _, did = message.rpartition(": ")
    work.result.where[name] = place
    say(f"{name}: {message}")
    outcomes = _from_cache(work, unit)
    if outcomes is None and has_remote(work.checkout.root):
        transfer.take_back(work.checkout)
        outcomes = _from_cache(work, unit, pull=True)
    if outcomes is None:
        raise GenmintError(f"its results were not transferred from {place}: DVC's cache has none")
    seconds = time.monotonic() - start
    return work.attempts.over_all([
        StageOutcome(each.stage, "ran" if f"{each.stage} ran" in did else "cached", seconds)
        for each in outcomes
    ], before)  # fmt: skip
