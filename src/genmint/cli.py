"""The command line: one verb a function, each thin; what is heavy is imported inside."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genmint.errors import FAILURE_FILE, ConfigError, GenmintError

if TYPE_CHECKING:
    from genmint.config import Params
    from genmint.project import Project

_DATASET_STAGES = {
    "ingest": "make the manifest of a data set; fetch it if it is a named one",
    "validate": "let Great Expectations decide whether a data set may enter",
    "prepare": "pack a data set into memory-mapped arrays of train, validation and test",
    "reference": "make what models are judged against: extractor, baselines, noise floors",
}
_MODEL_STAGES = {
    "train": "train a model and report the run to MLflow",
    "evaluate": "measure a trained model and draw samples from it",
}

_DESCRIPTION = """\
Train, evaluate, gate and promote generative models on your own images, text and audio.

The usual round:
  dvc repro                 run the stages whose inputs changed (params.yaml, data, code)
  genmint promote           register what passed its gate; the better one becomes champion
  genmint report            one page with samples, curves and verdicts: reports/index.html

Looking and using:
  genmint status            what is trained, gated, registered, champion, and what is amiss
  genmint gate image-vae    why a model passed or failed
  genmint lineage image-vae where its champion came from: run, commit, data, validation, gate
  genmint journal image-vae who was champion, since when and why
  genmint sample image-vae@champion -n 64 --out digits.png
  genmint encode image-vae --out latents.parquet
  genmint explore image-vae --out image-vae.html   what it has learnt
  genmint ui                browse runs and versions in MLflow
  genmint spread image-vae  how far trainings differ that differ by seed alone
  genmint bench image-vae   what would make its training faster on this machine
"""

_EPILOG = """\
Exit codes: 0 done; 1 it failed, with one line on stderr; 2 wrong usage or configuration;
130 interrupted. `genmint VERB --help` explains a verb. Every knob is in params.yaml.
"""

_TARGET_HELP = (
    "NAME: the files in models/NAME; NAME@champion (or another alias) or NAME/3 (a version): "
    "from the registry"
)


def run(arguments: Sequence[str]) -> int:
    """Run one verb and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        handler: Callable[[argparse.Namespace], int] = options.handler
        return handler(options)
    except GenmintError as error:
        sys.stdout.flush()
        print(f"genmint {options.verb}: {error}", file=sys.stderr)
        _tell_the_flow(error)
        return error.exit_code
    except KeyboardInterrupt as interruption:
        print(f"\ngenmint {options.verb}: {interruption or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone; that is its right.
        sys.stderr.close()
        return 0


def _tell_the_flow(error: GenmintError) -> None:
    """Leave the failure where the flow that started this stage looks for it (GENMINT_FAILURE)."""
    path = os.environ.get(FAILURE_FILE)
    if path:
        from genmint.files import write_json

        kinds = [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, GenmintError)]
        write_json(Path(path), {"kinds": kinds, "message": str(error)})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="genmint",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"genmint {_version()}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")

    def verb(
        name: str, handler: Callable[[argparse.Namespace], int], short: str, more: str = ""
    ) -> argparse.ArgumentParser:
        sub = verbs.add_parser(
            name,
            help=short,
            description=f"{short[0].upper()}{short[1:]}.\n\n{more}".strip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(handler=handler)
        return sub

    _add_promotion_verbs(verb)
    _add_use_verbs(verb)
    for name, short in _DATASET_STAGES.items():
        verb(name, _stage, short, f"A stage of dvc.yaml; `dvc repro {name}@DATASET` runs it with "
             "all that it needs.").add_argument("name", metavar="DATASET")  # fmt: skip
    for name, short in _MODEL_STAGES.items():
        verb(name, _stage, short, f"A stage of dvc.yaml; `dvc repro {name}@MODEL` runs it with "
             "all that it needs.").add_argument("name", metavar="MODEL")  # fmt: skip
    return parser


def _add_promotion_verbs(verb: Callable[..., argparse.ArgumentParser]) -> None:
    gate = verb(
        "gate",
        _gate,
        "decide on a measured model, and show every check with its reason",
        "A stage of dvc.yaml: writes reports/gates/MODEL.json from the model's metrics and its\n"
        "block in the gates map of params.yaml. A no is a result: the exit code is 0.",
    )
    gate.add_argument("name", metavar="MODEL")
    gate.add_argument("--strict", action="store_true", help="a no is exit code 1, for CI")

    promote = verb(
        "promote",
        _promote,
        "register what was gated, and make it champion where it is better",
        "Idempotent: what is registered is not registered again. A model that its gate refused\n"
        "is registered with the reasons and gets no alias. An unreachable registry is exit\n"
        "code 1, with nothing written.",
    )
    promote.add_argument("names", metavar="MODEL", nargs="*", help="default: all of params.yaml")
    promote.add_argument("--json", action="store_true", help="what became of each, for programs")
    _add_registry_verbs(verb)
    verb("status", _status, "tell what is trained, gated and registered, and what is amiss",
         "Exit code 1 where files, records and registry disagree; the command that mends it is\n"
         "named.")  # fmt: skip
    lineage = verb(
        "lineage",
        _lineage,
        "tell where a version came from: run, commit, hashes, validation, gate, journal",
        "What is not known is said, with why. Exit code 1 where two links contradict each other.\n"
        "--checkout restores the state of a version into a git worktree, in which\n"
        "`dvc repro --pull gate@MODEL` has nothing to run.\n\n"
        "  genmint lineage image-vae                the champion\n"
        "  genmint lineage image-vae/3 --checkout ../version-3",
    )
    lineage.add_argument(
        "target", metavar="MODEL", help="NAME (its champion), NAME@alias or NAME/3 (a version)"
    )
    lineage.add_argument("--json", action="store_true", help="everything, for programs")
    lineage.add_argument(
        "--checkout", type=Path, metavar="DIR", help="a folder that does not exist, or is empty"
    )
    verb("report", _report, "write reports/index.html: samples, curves, verdicts, champions")
    ui = verb("ui", _ui, "open MLflow's UI on the store of this checkout")
    ui.add_argument("--port", type=int, default=5000, help="default: 5000")
    ui.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine only")
    _add_services_verb(verb)


def _add_services_verb(verb: Callable[..., argparse.ArgumentParser]) -> None:
    services = verb(
        "services",
        _services,
        "run MLflow's and Prefect's servers and this machine's workers until Ctrl-C",
        "MLflow serves the store that `dvc repro` uses. One worker runs flows; one per visible\n"
        "GPU, or so many CPU workers, train. What dies is started again; a flow run that lost its\n"
        "process is marked Crashed and goes on from its checkpoint. See docs/services.md.\n\n"
        "  genmint services\n"
        "  STORE=postgresql://user:password@host/genmint genmint services --host 0.0.0.0\n"
        "  PREFECT_API_URL=… MLFLOW_TRACKING_URI=… genmint services --workers-only",
    )
    services.add_argument("--host", default="127.0.0.1", help="default: this machine only")
    services.add_argument("--mlflow-port", type=int, default=5000, help="default: 5000")
    services.add_argument("--prefect-port", type=int, default=4200, help="default: 4200")
    services.add_argument(
        "--store",
        metavar="URL",
        help="postgresql://… or sqlite, for both servers (default: the variable STORE, else MLflow "
        "on mlflow.db and Prefect on a PostgreSQL of its own)",
    )
    services.add_argument(
        "--artifacts",
        metavar="URL",
        help="where MLflow keeps files, such as s3://bucket/mlflow (default: the variable "
        "ARTIFACTS, else mlartifacts/ here)",
    )
    services.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="CPU workers that train (default: 1); 0: other machines train",
    )
    services.add_argument(
        "--alert",
        metavar="URL",
        action="append",
        help="webhook or Apprise URL that hears of failures; may be given again (default: the "
        "variable ALERTS, with blanks in between)",
    )
    services.add_argument(
        "--refusals",
        type=int,
        default=3,
        metavar="N",
        help="refusals of a model in a row that make an alert (default: 3)",
    )
    services.add_argument("--name", default="", help="of this machine (default: its host name)")
    services.add_argument(
        "--workers-only", action="store_true", help="the servers run on another machine"
    )


def _add_registry_verbs(verb: Callable[..., argparse.ArgumentParser]) -> None:
    journal = verb("journal", _journal, "show who was champion, since when and why")
    journal.add_argument("name", metavar="MODEL")
    journal.add_argument("--json", action="store_true", help="as a list of objects")

    rollback = verb(
        "rollback",
        _rollback,
        "make an earlier champion champion again",
        "The version that is left is marked, and `genmint promote` does not promote it again\n"
        "unless its gate decides anew and it is better. Exit code 1, with nothing changed, where\n"
        "there is nothing to go back to or somebody else moved the champion meanwhile.\n\n"
        '  genmint rollback image-vae --reason "blurred sevens"',
    )
    rollback.add_argument("name", metavar="MODEL")
    rollback.add_argument(
        "--to",
        metavar="VERSION",
        help="one that was champion or passed its gate (default: the champion before)",
    )
    rollback.add_argument("--reason", required=True, help="for the journal")

    reconcile = verb(
        "reconcile",
        _reconcile,
        "honour or put back what was done to aliases by hand, finish half-done moves",
        "An alias moved in MLflow to a version that passed its gate is written into the journal;\n"
        "from any other it is put back, with the reason on the version's page. Idempotent; exit\n"
        "code 0 if all is well or was mended.",
    )
    reconcile.add_argument("names", metavar="MODEL", nargs="*", help="default: all of params.yaml")


def _add_use_verbs(verb: Callable[..., argparse.ArgumentParser]) -> None:
    drift = verb(
        "drift",
        _drift,
        "show whether new data drifted from what the models learned, and why",
        "Shows the latest look at each data set with a block under drift in params.yaml. With\n"
        "--look it takes one now, as the flow `drift` does on a schedule: new data go through\n"
        "ingest and Great Expectations in a checkout of their own, and windows of new items are\n"
        "tested. Nothing is retrained. Exit code 1 where data may not enter.\n\n"
        "  genmint drift --look faces",
    )
    drift.add_argument("names", metavar="DATASET", nargs="*", help="default: all that are watched")
    drift.add_argument("--look", action="store_true", help="take a look now")
    drift.add_argument("--json", action="store_true", help="the records, for programs")

    sample = verb(
        "sample",
        _sample,
        "draw samples from a model into a file",
        "The end of the file's name says what it becomes: .png (images, pictures of sound),\n"
        ".wav (sound; clips one after the other), .txt (text), .npy (the bare array).\n"
        "The same seed gives the same samples.\n\n"
        "  genmint sample image-vae -n 64 --out digits.png\n"
        "  genmint sample audio-rnn@champion -n 8 --seed 7 --out notes.wav\n"
        "  genmint sample text-rnn --prompt 'The ' --top-p 0.9 --out text.txt\n"
        "  genmint sample MODEL --label NAME --out some.png   (conditional: true in its block)",
    )
    sample.add_argument("target", metavar="MODEL", help=_TARGET_HELP)
    sample.add_argument("-n", type=int, default=16, help="how many (default: 16)")
    sample.add_argument("--seed", type=int, default=0, help="default: 0")
    sample.add_argument("--length", type=int, help="symbols a text has (default: the protocol's)")
    sample.add_argument("--prompt", metavar="TEXT", help="what a text goes on from")
    sample.add_argument("--label", help="class that a conditional model's samples are to be of")
    sample.add_argument("--temperature", type=float, help="of an RNN (default: the block's)")
    sample.add_argument("--top-k", type=int, help="draw among so many symbols, the likeliest")
    sample.add_argument("--top-p", type=float, help="draw from the nucleus of this probability")
    sample.add_argument("--out", type=Path, required=True, metavar="FILE")

    encode = verb(
        "encode",
        _encode,
        "write the latent coordinates of a data set under a VAE",
        "One row an item: split, item, label (if the set has labels) and z_0, z_1, … (the mean of\n"
        "q(z|x)): dimension reduction for plots, clustering or a small classifier.\n\n"
        "  genmint encode image-vae --out latents.parquet",
    )
    encode.add_argument("target", metavar="MODEL", help=_TARGET_HELP)
    encode.add_argument("--out", type=Path, required=True, metavar="FILE", help=".parquet or .csv")

    explore = verb(
        "explore",
        _explore,
        "make a page that shows what a model has learnt",
        "VAE: each latent's traversal with the nats it tells and the change it causes, ways\n"
        "between held-out items, attention maps. GAN: ways between samples. RNN of text: each\n"
        "character's surprise, and what the attention looked back at.\n\n"
        "  genmint explore image-vae --out image-vae.html",
    )
    explore.add_argument("target", metavar="MODEL", help=_TARGET_HELP)
    explore.add_argument("--out", type=Path, required=True, metavar="FILE", help=".html")
    explore.add_argument("--seed", type=int, default=0, help="of all draws (default: 0)")

    bench = verb(
        "bench",
        _bench,
        "time what could make a model's training faster here, and say what to set",
        "Trains the model for a few seconds with each precision, with and without torch.compile\n"
        "and, for convolutions, both memory layouts, in turn; writes nothing. Run it on an idle\n"
        "machine.",
    )
    bench.add_argument("name", metavar="MODEL")
    bench.add_argument(
        "--seconds", type=float, default=10.0, help="per setting, besides its start (default: 10)"
    )

    spread = verb(
        "spread",
        _spread,
        "measure how far trainings of a model differ by seed alone",
        "Trains the block several times with seeds of its own, measures each, and writes the file\n"
        "spreads/MODEL.json, which belongs into git. A challenger must beat the champion by more\n"
        "than that. models/MODEL stays as it is; interrupted, the same command goes on.",
    )
    spread.add_argument("name", metavar="MODEL")
    spread.add_argument("--trainings", type=int, default=5, help="5 or more (default: 5)")

    add = verb(
        "add",
        _add,
        "put a recipe's blocks into params.yaml; its comments and yours stay",
        "Without RECIPE it lists what recipes/ holds.",
    )
    add.add_argument("recipe", metavar="RECIPE", nargs="?")
    verb("doctor", _doctor, "check this machine, the environment and params.yaml")


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


def _stage(options: argparse.Namespace) -> int:
    project, params = _open()
    if options.verb in _DATASET_STAGES:
        _known(options.name, params.datasets, "data set")
    else:
        _known(options.name, params.models, "model")
    if options.verb == "train":
        from genmint.training.device_lock import refuse_elsewhere

        # First: a flow asks so for every model, and the stage takes seconds to import.
        refuse_elsewhere(options.name)
    importlib.import_module(f"genmint.stages.{options.verb}").run(project, params, options.name)
    return 0


def _gate(options: argparse.Namespace) -> int:
    from genmint.stages import gate

    project, params = _open()
    passed = gate.run(project, params, _known(options.name, params.models, "model"))
    return 1 if options.strict and not passed else 0


def _promote(options: argparse.Namespace) -> int:
    from genmint.promotion import promote
    from genmint.restore import restore

    project, params = _open()
    names = [_known(name, params.models, "model") for name in options.names] or list(params.models)
    restore(project, params, names)
    if options.json:
        with contextlib.redirect_stdout(sys.stderr):
            outcomes = promote(project, params, names)
        print(json.dumps([dataclasses.asdict(outcome) for outcome in outcomes]))
    else:
        outcomes = promote(project, params, names)
    return max((outcome.exit_code for outcome in outcomes), default=0)


def _journal(options: argparse.Namespace) -> int:
    from genmint import history
    from genmint.registry import Registry

    project, params = _open()
    name = _known(options.name, params.models, "model")
    registry = Registry.existing(project)
    written = [] if registry is None else registry.entries(name)
    if options.json:
        print(history.to_json(written))
    else:
        history.show(name, written)
    return 0


def _rollback(options: argparse.Namespace) -> int:
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


def _reconcile(options: argparse.Namespace) -> int:
    from genmint.reconcile import reconcile

    project, params = _open()
    names = [_known(name, params.models, "model") for name in options.names] or list(params.models)
    outcomes = reconcile(project, params, names)
    return max((outcome.exit_code for outcome in outcomes), default=0)


def _status(_: argparse.Namespace) -> int:
    from genmint.status import status

    project, params = _open()
    return status(project, params)


def _lineage(options: argparse.Namespace) -> int:
    import tempfile

    from genmint import lineage
    from genmint.journal import CHAMPION
    from genmint.project import Project
    from genmint.registry import resolve
    from genmint.target import Target

    project, wanted = Project.find(), Target.parse(options.target)
    alias = wanted.alias or (CHAMPION if wanted.version is None else None)
    registry, version = resolve(project, wanted.name, alias=alias, version=wanted.version)
    with tempfile.TemporaryDirectory(prefix="genmint-") as scratch:
        evaluation = registry.evaluation(version, Path(scratch))
        found = lineage.trace(registry, version, evaluation)
        if options.json:
            print(json.dumps(found.as_json(), indent=2, ensure_ascii=False))
        else:
            lineage.show(found)
        if options.checkout is not None:
            commit = lineage.check_out(project, found, evaluation, options.checkout)
            out = sys.stderr if options.json else sys.stdout
            print(f"{options.checkout}: commit {commit[:12]} as {wanted.name}/{version.version} "
                  f"left it; `dvc repro --pull gate@{wanted.name}` there runs nothing",
                  file=out)  # fmt: skip
    return 1 if found.broken else 0


def _report(_: argparse.Namespace) -> int:
    from genmint.report import write_report

    project, params = _open()
    print(f"wrote {write_report(project, params)}")
    return 0


def _ui(options: argparse.Namespace) -> int:
    from genmint.project import Project
    from genmint.tracking.ui import serve_ui

    return serve_ui(Project.find(), options.host, options.port)


def _services(options: argparse.Namespace) -> int:
    import os

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


def _sample(options: argparse.Namespace) -> int:
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


def _encode(options: argparse.Namespace) -> int:
    from genmint.sampling import encode_to_file

    project, _ = _open()
    rows = encode_to_file(project, options.target, options.out)
    print(f"wrote {options.out}: {rows} rows")
    return 0


def _explore(options: argparse.Namespace) -> int:
    from genmint.explore import explore

    project, _ = _open()
    explore(project, options.target, options.out, seed=options.seed)
    print(f"wrote {options.out}")
    return 0


def _bench(options: argparse.Namespace) -> int:
    from genmint.bench import bench

    project, params = _open()
    if not 0 < options.seconds < 3600:
        raise ConfigError(f"--seconds {options.seconds}: between 0 and an hour")
    bench(project, params, _known(options.name, params.models, "model"), options.seconds)
    return 0


def _spread(options: argparse.Namespace) -> int:
    from genmint.spread import measure_spread

    project, params = _open()
    name = _known(options.name, params.models, "model")
    measure_spread(project, params, name, options.trainings)
    return 0


def _add(options: argparse.Namespace) -> int:
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


def _drift(options: argparse.Namespace) -> int:
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


def _doctor(_: argparse.Namespace) -> int:
    from genmint.doctor import doctor
    from genmint.project import Project

    return doctor(Project.find())


def _version() -> str:
    from genmint import __version__

    return __version__
