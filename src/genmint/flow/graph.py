"""The stage graph as DVC has it, and the pieces of it that are run as one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from genmint.errors import ConfigError, GenmintError
from genmint.flow.stage import Crew, run
from genmint.lock import DATASET_STAGES, MODEL_STAGES
from genmint.project import Project

# Run in a child: DVC keeps state in its process, and several flows may share one.
_READ = """
import json
from dvc.repo import Repo
with Repo() as repo:
    graph = repo.index.graph
    print("GRAPH" + json.dumps({
        stage.addressing: sorted({need.addressing for need in graph.successors(stage)})
        for stage in graph.nodes
    }))
"""
# What makes a model on a worker, as one run; MODEL_STAGES without the gate, which is no work.
_ON_WORKER = MODEL_STAGES[:-1]
# What all stages of a data set are called together. They need each other one by one: as one unit
# they cost one start of DVC, and what was begun is not put off for what is less urgent.
_DATA = "data"


@dataclass(frozen=True)
class Unit:
    """Stages that one run does, one after the other.

    Attributes:
        name: of the unit: its stage, the model that it makes, or data@NAME of a data set.
        stages: in the order in which they depend on each other.
        needs: names of the units that must be done before.
        model: that it trains, if it does.
    """

    name: str
    stages: tuple[str, ...]
    needs: tuple[str, ...]
    model: str | None


def read_graph(project: Project, crew: Crew) -> dict[str, list[str]]:
    """Read every stage with the stages that it reads from, from DVC.

    Raises:
        GenmintError: dvc.yaml cannot be read.
    """
    lines: list[str] = []
    done = run(project, [sys.executable, "-c", _READ], crew=crew, say=lines.append)
    for line in lines:
        if line.startswith("GRAPH"):
            return dict(json.loads(line.removeprefix("GRAPH")))
    said = "; ".join(line for line in done.lines[-3:] if line)
    raise GenmintError(f"{project.root / 'dvc.yaml'}: DVC cannot read its stages: {said}")


def stages_for(graph: Mapping[str, list[str]], models: Iterable[str]) -> dict[str, list[str]]:
    """The part of the graph that the gates of these models rest on.

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
    """Units of a graph, each after those that it needs.

    One is a model's train and evaluate, and one is all stages of a data set.
    """
    members: dict[str, list[str]] = {}
    for stage in _in_order(graph):
        members.setdefault(_unit_of(stage), []).append(stage)
    found: list[Unit] = []
    for name, stages in members.items():
        needs = {_unit_of(need) for stage in stages for need in graph[stage]} - {name}
        model = name if stages[0].partition("@")[0] in _ON_WORKER else None
        found.append(Unit(name, tuple(stages), tuple(sorted(needs)), model))
    order = _in_order({unit.name: list(unit.needs) for unit in found})
    return sorted(found, key=lambda unit: order.index(unit.name))


def weights(plan: Iterable[Unit], seconds: Mapping[str, float]) -> dict[str, float]:
    """What hangs on each unit of a plan: the seconds of the longest model that waits for it.

    Args:
        plan: units, each after those that it needs.
        seconds: of each model.
    """
    found: dict[str, float] = {}
    for unit in reversed(list(plan)):
        own = 0.0 if unit.model is None else seconds[unit.model]
        found[unit.name] = max(own, found.get(unit.name, 0.0))
        for need in unit.needs:
            found[need] = max(found[unit.name], found.get(need, 0.0))
    return found


def data_unit(dataset: str) -> str:
    """Name of the unit that all stages of a data set are."""
    return f"{_DATA}@{dataset}"


def _unit_of(stage: str) -> str:
    verb, _, name = stage.partition("@")
    if verb in DATASET_STAGES:
        return data_unit(name)
    return name if verb in _ON_WORKER else stage


def _in_order(graph: Mapping[str, list[str]]) -> list[str]:
    """Every node after those that it needs; of the rest, as they come."""
    order: list[str] = []

    def visit(node: str) -> None:
        if node not in order:
            for need in graph[node]:
                visit(need)
            order.append(node)

    for node in graph:
        visit(node)
    return order
