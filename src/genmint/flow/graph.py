"""Stage graph from DVC, and its division into units that are executed together."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter

from genmint.common.dvc_lock import DATASET_STAGES, MODEL_STAGES
from genmint.common.errors import ConfigError, GenmintError
from genmint.common.layout import GRAPH
from genmint.common.project import Project
from genmint.flow import restore_process
from genmint.flow.stage import ProcessGroup, StageOutcome, run

# A child process, since DVC keeps global state and several flows may share a process. Called by its
# file path, since the code of the checkout may be older; -P leaves out its folder as import path.
_RESTORE = (sys.executable, "-P", restore_process.__file__)
# Stages executed in one run on a worker: MODEL_STAGES without the gate, which is cheap.
_ON_WORKER = MODEL_STAGES[:-1]
# Name of the unit of all stages of a data set. They depend on each other in sequence. As one unit
# they need one start of DVC, and a started sequence is not delayed by less urgent units.
_DATA = "data"


@dataclass(frozen=True)
class Unit:
    """Stages that one run executes in sequence.

    Attributes:
        name: name of the unit: its stage, its model, or data@NAME for a data set.
        stages: stages in the order of their dependencies.
        needs: names of the units that must finish before.
        model: model that the unit trains, None if it trains none.
    """

    name: str
    stages: tuple[str, ...]
    needs: tuple[str, ...]
    model: str | None


@dataclass(frozen=True)
class ReadGraph:
    """Stage graph, and the stages that were restored when it was read.

    Attributes:
        needs: every stage with its direct dependencies.
        restored: outcomes of the stages that are up to date, in the order of their dependencies.
    """

    needs: dict[str, list[str]]
    restored: tuple[StageOutcome, ...]


def read_graph(
    project: Project, process_group: ProcessGroup, restore: Sequence[str] = ()
) -> ReadGraph:
    """Read the stages from DVC; bring those up to date that need not run, in the same process.

    Args:
        project: the checkout.
        process_group: process group of the command.
        restore: stages to bring up to date with all that they depend on. Nothing is run for it: a
            stage that has to run is left as it is, and so are those that depend on it.

    Raises:
        GenmintError: dvc.yaml cannot be read.
    """
    lines: list[str] = []
    done = run(project, [*_RESTORE, *restore], process_group=process_group, say=lines.append)
    needs, restored = None, []
    for line in lines:
        if line.startswith(restore_process.GRAPH_LINE):
            needs = dict(json.loads(line.removeprefix(restore_process.GRAPH_LINE)))
        elif line.startswith(restore_process.STAGE_LINE):
            outcome = json.loads(line.removeprefix(restore_process.STAGE_LINE))
            restored.append(StageOutcome(*outcome))
    if needs is None:
        message = "; ".join(line for line in done.lines[-3:] if line)
        raise GenmintError(f"{project.root / GRAPH}: DVC cannot read its stages: {message}")
    return ReadGraph(needs, tuple(restored))


def stages_for(graph: Mapping[str, list[str]], models: Iterable[str]) -> dict[str, list[str]]:
    """Return the part of the graph that the gates of these models depend on.

    Raises:
        ConfigError: a model has no gate stage.
    """
    wanted = [f"{MODEL_STAGES[-1]}@{name}" for name in models]
    part: dict[str, list[str]] = {}
    while wanted:
        stage = wanted.pop()
        if stage not in graph:
            raise ConfigError(f"dvc.yaml has no stage {stage}")
        if stage not in part:
            part[stage] = list(graph[stage])
            wanted += part[stage]
    return part


def units(graph: Mapping[str, list[str]]) -> list[Unit]:
    """Return the units of a graph in topological order.

    Train and evaluate of a model form one unit, and so do all stages of a data set.
    """
    members: dict[str, list[str]] = {}
    for stage in TopologicalSorter(graph).static_order():
        members.setdefault(_unit_of(stage), []).append(stage)
    needs = {
        name: {_unit_of(need) for stage in stages for need in graph[stage]} - {name}
        for name, stages in members.items()
    }
    return [
        Unit(
            name,
            tuple(members[name]),
            tuple(sorted(needs[name])),
            name if members[name][0].partition("@")[0] in _ON_WORKER else None,
        )
        for name in TopologicalSorter(needs).static_order()
    ]


def remaining(plan: Iterable[Unit], up_to_date: Collection[str]) -> list[Unit]:
    """Return the units with a stage that is not in `up_to_date`, and their needs among them."""
    left = [unit for unit in plan if not set(unit.stages).issubset(up_to_date)]
    names = {unit.name for unit in left}
    return [
        replace(unit, needs=tuple(need for need in unit.needs if need in names)) for unit in left
    ]


def weights(plan: Iterable[Unit], seconds: Mapping[str, float]) -> dict[str, float]:
    """Return the priority of each unit: the training time of the longest model that waits for it.

    Args:
        plan: units in topological order.
        seconds: training time of each model in seconds.
    """
    stage_seconds: dict[str, float] = {}
    for unit in reversed(list(plan)):
        own = 0.0 if unit.model is None else seconds[unit.model]
        stage_seconds[unit.name] = max(own, stage_seconds.get(unit.name, 0.0))
        for need in unit.needs:
            stage_seconds[need] = max(stage_seconds[unit.name], stage_seconds.get(need, 0.0))
    return stage_seconds


def data_unit(dataset: str) -> str:
    """Return the name of the unit with all stages of a data set."""
    return f"{_DATA}@{dataset}"


def _unit_of(stage: str) -> str:
    verb, _, name = stage.partition("@")
    if verb in DATASET_STAGES:
        return data_unit(name)
    return name if verb in _ON_WORKER else stage
