"""Training and evaluation of one model in a separate checkout, as one run on a worker."""

from __future__ import annotations

from dataclasses import dataclass

from genmint.common.errors import ConfigError
from genmint.common.project import Project
from genmint.config import load_params
from genmint.flow.checkout import checked_out
from genmint.flow.stage import ProcessGroup, Say, StageOutcome, reproduce
from genmint.flow.transfer import give_back, obtain, obtain_commit


@dataclass(frozen=True)
class Order:
    """Request of a flow to a worker.

    Attributes:
        model: model to train and evaluate.
        commit: commit with code, parameters and the hashes of the prepared data.
        ref: ref of the commit on the git remote, if there is one.
        cache: the flow's `transfer.cache_token`.
        force: verbs of the stages that run even if nothing changed.
    """

    model: str
    commit: str
    ref: str
    cache: str
    force: tuple[str, ...] = ()


def fulfil(
    home: Project, order: Order, name: str, process_group: ProcessGroup, say: Say
) -> list[StageOutcome]:
    """Train and evaluate in a checkout called `name`; results go to the DVC cache or remote.

    Raises:
        StageError: a stage failed.
        GenmintError: commit, inputs or results cannot be transferred.
    """
    obtain_commit(home, order.commit, order.ref)
    with checked_out(home, order.commit, name) as checkout:
        params = load_params(checkout.params)
        if order.model not in params.models:
            raise ConfigError(f"params.yaml of {order.commit[:12]} has no model {order.model!r}")
        dataset = params.models[order.model].dataset
        say(f"inputs of {order.model} from {order.commit[:12]}")
        shared = obtain(checkout, [f"prepare@{dataset}", f"reference@{dataset}"], order.cache)
        outcomes = train_and_evaluate(checkout, order.model, order.force, process_group, say)
        if not shared:
            say("results go to DVC's remote")
            give_back(checkout, [outcome.stage for outcome in outcomes])
    return outcomes


def train_and_evaluate(
    checkout: Project,
    model: str,
    force: tuple[str, ...],
    process_group: ProcessGroup,
    say: Say,
    threads: int | None = None,
) -> list[StageOutcome]:
    """Run both stages in this checkout; stages whose verb is in `force` run in any case."""
    stages = [f"{verb}@{model}" for verb in ("train", "evaluate")]
    return reproduce(
        checkout, stages, process_group=process_group, say=say, force=force, threads=threads
    )
