"""What each verb of the command line does; what is heavy is imported inside."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import importlib
import json
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from genmint.errors import ConfigError
from genmint.preflight import check_output_folders, runs_under_dvc

if TYPE_CHECKING:
    from genmint.config import Params
    from genmint.project import Project

DATASET_STAGES = {
    "ingest": "make the manifest of a data set; fetch it if it is a named one",
    "validate": "let Great Expectations decide whether a data set may enter",
    "prepare": "pack a data set into memory-mapped arrays of train, validation and test",
    "reference": "make what models are judged against: extractor, baselines, noise floors",
}
MODEL_STAGES = {
    "train": "train a model and report the run to MLflow",
    "evaluate": "measure a trained model and draw samples from it",
}


def _open() -> tuple[Project, Params]:
    from genmint.config import load_params
    from genmint.project import Project

    project = Project.find()
    return project, load_params(project.params)


def _known(name: str, known: Iterable[str], what: str) -> str:
    names = list(known)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
        raise ConfigError(f"params.yaml has no {what} {name!r}; {hint}")
    return name


def stage(options: argparse.Namespace) -> int:
    """Run a stage of a data set or a model."""
    project, params = _open()
    if runs_under_dvc():
        check_output_folders(project)
    if options.verb in DATASET_STAGES:
        name = _known(_name(options), params.datasets, "data set")
    else:
        name = _known(_name(options), params.models, "model")
    options.name = name
    if options.verb == "train":
        from genmint.training.device_lock import refuse_elsewhere

        # First: a flow asks so for every model, and the stage takes seconds to import.
        refuse_elsewhere(name)
    from genmint.stage_process import running

    with running(project, f"{options.verb}@{name}"):
        importlib.import_module(f"genmint.stages.{options.verb}").run(project, params, name)
    return 0


def _name(options: argparse.Namespace) -> str:
    """The data set or model of a stage, also where it was given as `train@NAME`, as DVC calls it.

    dvc.yaml hands the name over in a variable: a shell would run what stands in a name.
    """
    name: str = options.name
    return name.rpartition(":")[2].removeprefix(f"{options.verb}@")


def gate(options: argparse.Namespace) -> int:
    """Judge a model by its bounds; 1 if it is refused and `--strict` was said."""
    from genmint.stage_process import running
    from genmint.stages import gate

    project, params = _open()
    name = options.name = _known(_name(options), params.models, "model")
    with running(project, f"gate@{name}"):
        passed = gate.run(project, params, name)
    return 1 if options.strict and not passed else 0


def promote(options: argparse.Namespace) -> int:
    """Register what passed, and make the better one champion."""
    from genmint.promotion import promote
    from genmint.restore import restore

    project, params = _open()
    names = [_known(name, params.models, "model") for name in options.names] or list(params.models)
    restore(project, params, names)
    if options.json:
        with contextlib.redirect_stdout(sys.stderr):
            outcomes = promote(project, params, names, first=options.first)
        print(json.dumps([dataclasses.asdict(outcome) for outcome in outcomes]))
    else:
        outcomes = promote(project, params, names, first=options.first)
    return max((outcome.exit_code for outcome in outcomes), default=0)


def journal(options: argparse.Namespace) -> int:
    """Show who was champion, since when and why."""
    from genmint import history
    from genmint.registry import Registry

    project, params = _open()
    name = _known(options.name, params.models, "model")
    registry = Registry.existing(project)
    written = [] if registry is None else registry.entries(name)
    versions = [] if registry is None else registry.versions(name)
    known = {version.version: version.weights for version in versions}
    if options.json:
        print(history.to_json(written, known))
    else:
        history.show(name, written, known)
    return 0


def rollback(options: argparse.Namespace) -> int:
    """Give the title back to an earlier version."""
    from genmint.rollback import rollback

    project, params = _open()
    name = _known(options.name, params.models, "model")
    if not options.reason.strip():
        raise ConfigError("--reason: say why, for those who read the journal")
    if options.to is not None and not (options.to.isdecimal() and int(options.to) > 0):
        raise ConfigError(f"--to {options.to}: the number of a version, such as 3")
    to = None if options.to is None else str(int(options.to))
    print(rollback(project, params, name, options.reason.strip(), to))
    return 0


def reconcile(options: argparse.Namespace) -> int:
    """Set right what was changed beside genmint."""
    from genmint.reconcile import reconcile

    project, params = _open()
    names = [_known(name, params.models, "model") for name in options.names] or list(params.models)
    outcomes = reconcile(project, params, names)
    return max((outcome.exit_code for outcome in outcomes), default=0)


def status(_: argparse.Namespace) -> int:
    """Tell what is trained, gated and registered."""
    from genmint.status import status

    project, params = _open()
    return status(project, params)


def lineage(options: argparse.Namespace) -> int:
    """Tell where a version came from, or check its sources out."""
    from genmint import lineage
    from genmint.files import scratch_dir
    from genmint.journal import CHAMPION
    from genmint.lookup import resolve
    from genmint.project import Project
    from genmint.target import Target

    project, wanted = Project.find(), Target.parse(options.target)
    alias = wanted.alias or (CHAMPION if wanted.version is None else None)
    registry, version = resolve(project, wanted.name, alias=alias, version=wanted.version)
    with scratch_dir() as scratch:
        evaluation = registry.evaluation(version, scratch)
        found = lineage.trace(registry, version, evaluation)
        if options.json:
            print(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
        else:
            lineage.show(found)
        if options.checkout is not None:
            restored = lineage.check_out(project, found, evaluation, options.checkout)
            out = sys.stderr if options.json else sys.stdout
            print(f"{options.checkout}: commit {restored.commit[:12]} as "
                  f"{wanted.name}/{version.version} left it; {restored.next_step(wanted.name)}",
                  file=out)  # fmt: skip
    return 1 if found.broken else 0


def report(_: argparse.Namespace) -> int:
    """Write the page of samples, curves and verdicts."""
    from genmint.report import write_report

    project, params = _open()
    print(f"wrote {write_report(project, params)}")
    return 0


def ui(options: argparse.Namespace) -> int:
    """Open MLflow's UI until Ctrl-C."""
    from genmint.project import Project
    from genmint.tracking.ui import serve_ui

    return serve_ui(Project.find(), options.host, options.port)


def services(options: argparse.Namespace) -> int:
    """Run servers and workers until Ctrl-C."""
    from genmint.project import Project
    from genmint.services.config import Services
    from genmint.services.supervisor import serve

    # On a machine with workers only, both are the affair of the one with the servers.
    shared = {} if options.workers_only else os.environ
    return serve(
        Services(
            Project.find(),
            host=options.host,
            mlflow_port=options.mlflow_port,
            prefect_port=options.prefect_port,
            store=options.store or shared.get("STORE") or None,
            artifacts=options.artifacts or shared.get("ARTIFACTS") or None,
            workers=options.workers,
            name=options.name,
            alerts=tuple(options.alert or shared.get("ALERTS", "").split()),
            refusals=options.refusals,
            servers=not options.workers_only,
        )
    )


def sample(options: argparse.Namespace) -> int:
    """Write samples of a model to a file."""
    from genmint.sampling import sample_to_file

    project, params = _open()
    if options.n < 1:
        raise ConfigError(f"-n {options.n}: draw at least one sample")
    if options.length is not None and options.length < 1:
        raise ConfigError(f"--length {options.length}: at least one symbol")
    said = {key: getattr(options, key) for key in ("prompt", "temperature", "top_k", "top_p")}
    sample_to_file(
        project,
        params,
        options.target,
        options.out,
        n=options.n,
        seed=options.seed,
        length=options.length,
        label=options.label,
        said={key: value for key, value in said.items() if value is not None},
    )
    print(f"wrote {options.out}")
    return 0


def encode(options: argparse.Namespace) -> int:
    """Write a data set's latents to a file."""
    from genmint.sampling import encode_to_file

    project, _ = _open()
    rows = encode_to_file(project, options.target, options.out)
    print(f"wrote {options.out}: {rows} rows")
    return 0


def explore(options: argparse.Namespace) -> int:
    """Write the page of what a model has learnt."""
    from genmint.explore import explore

    project, _ = _open()
    explore(project, options.target, options.out, seed=options.seed)
    print(f"wrote {options.out}")
    return 0


def bench(options: argparse.Namespace) -> int:
    """Time what would make a training faster here."""
    from genmint.bench import bench

    project, params = _open()
    if not 0 < options.seconds < 3600:
        raise ConfigError(f"--seconds {options.seconds}: between 0 and an hour")
    bench(project, params, _known(options.name, params.models, "model"), options.seconds)
    return 0


def spread(options: argparse.Namespace) -> int:
    """Measure how far trainings differ that differ by seed alone."""
    from genmint.spread import measure_spread

    project, params = _open()
    name = _known(options.name, params.models, "model")
    measure_spread(project, params, name, options.trainings)
    return 0


def add(options: argparse.Namespace) -> int:
    """Put a recipe's blocks into params.yaml, or list what there is."""
    from genmint.project import Project
    from genmint.recipes import add_recipe, list_recipes

    project = Project.find()
    if options.recipe is None:
        for name, what in list_recipes(project):
            print(f"{name:24} {what}")
        return 0
    added = add_recipe(project, options.recipe)
    print(f"added to params.yaml: {', '.join(added)}")
    models = [key.removeprefix("models.") for key in added if key.startswith("models.")]
    gates = " ".join(f"gate@{name}" for name in models)
    print(f"next: dvc repro {gates} && genmint promote {' '.join(models)}")
    return 0


def drift(options: argparse.Namespace) -> int:
    """Tell what the looks at sources found; 1 if one was stopped."""
    from genmint.drift.look import look, watched
    from genmint.drift.show import lines_of
    from genmint.drift.state import Shelf
    from genmint.project import Project

    project = Project.find()
    known = watched(project, ignore_uncommitted=True)
    names = [_known(name, known, "block under drift (as committed) for") for name in options.names]
    found = []
    for name in names or known:
        if options.look:
            found.append(look(project, name, ignore_uncommitted=True))
        else:
            found += Shelf(project, name).decisions(1)
    if options.json:
        print(json.dumps([each.model_dump(mode="json") for each in found], indent=2))
    else:
        for each in found:
            print("\n".join(lines_of(each)))
        if not found:
            print("no look was taken yet: `genmint drift --look`, or the flow `drift`")
    return 1 if any(each.verdict == "stopped" for each in found) else 0


def doctor(_: argparse.Namespace) -> int:
    """Check machine, environment and params.yaml."""
    from genmint.doctor import doctor
    from genmint.project import Project

    return doctor(Project.find())
