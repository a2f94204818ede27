"""The command line: its verbs and their options, and what its errors and ends look like."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from genmint import commands
from genmint.errors import FAILURE_FILE, DiskFullError, GenmintError
from genmint.escaping import printable
from genmint.exhaustion import disk_full, explained
from genmint.termination import signals_interrupt

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
        with signals_interrupt():
            code = handler(options)
            _flush()
    except KeyboardInterrupt as interruption:
        print(f"\ngenmint {options.verb}: {interruption or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone; that is its right.
        sys.stderr.close()
        return 0
    except Exception as error:
        failure = explained(error, options.verb, getattr(options, "name", None))
        if failure is None and isinstance(error, GenmintError):
            from genmint.dvc_cache import with_damage

            failure = with_damage(error)
        if failure is None:
            raise
        return _fail(options.verb, failure)
    return code


def _flush() -> None:
    """Write out what was printed, while a full disk can still be reported: at exit it cannot.

    Raises:
        DiskFullError: the file that stdout was redirected to cannot grow.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        disk_full(error, "standard output")
        raise


def _fail(verb: str, error: GenmintError) -> int:
    """Say in one line why a verb failed; return its exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        # The file that stdout goes to is full; python would try once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    print(printable(f"genmint {verb}: {error}"), file=sys.stderr)
    try:
        _tell_the_flow(error)
    except DiskFullError as full:
        print(f"genmint {verb}: {full}", file=sys.stderr)
    return error.exit_code


def _tell_the_flow(error: GenmintError) -> None:
    """Leave the failure where the flow that started this stage looks for it (GENMINT_FAILURE)."""
    path = os.environ.get(FAILURE_FILE)
    if path:
        from genmint.files import write_json

        kinds = [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, GenmintError)]
        write_json(Path(path), {"kinds": kinds, "message": printable(str(error))})


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
    for name, short in commands.DATASET_STAGES.items():
        _stage(verb, name, short, "DATASET")
    for name, short in commands.MODEL_STAGES.items():
        _stage(verb, name, short, "MODEL")
    return parser


def _stage(verb: Callable[..., argparse.ArgumentParser], name: str, short: str, what: str) -> None:
    more = f"A stage of dvc.yaml; `dvc repro {name}@{what}` runs it with all that it needs."
    verb(name, commands.stage, short, more).add_argument("name", metavar=what)


def _add_promotion_verbs(verb: Callable[..., argparse.ArgumentParser]) -> None:
    gate = verb(
        "gate",
        commands.gate,
        "decide on a measured model, and show every check with its reason",
        "A stage of dvc.yaml: writes reports/gates/MODEL.json from the model's metrics and its\n"
        "block in the gates map of params.yaml. A no is a result: the exit code is 0.",
    )
    gate.add_argument("name", metavar="MODEL")
    gate.add_argument("--strict", action="store_true", help="a no is exit code 1, for CI")

    promote = verb(
        "promote",
        commands.promote,
        "register what was gated, and make it champion where it is better",
        "Idempotent: what is registered is not registered again. A model that its gate refused\n"
        "is registered with the reasons and gets no alias. An unreachable registry is exit\n"
        "code 1, with nothing written.",
    )
    promote.add_argument("names", metavar="MODEL", nargs="*", help="default: all of params.yaml")
    promote.add_argument(
        "--first",
        action="store_true",
        help="start anew in a registry without a journal, though a champion was seen from here",
    )
    promote.add_argument("--json", action="store_true", help="what became of each, for programs")
    _add_registry_verbs(verb)
    verb("status", commands.status, "tell what is trained, gated and registered, and what is amiss",
         "Exit code 1 where files, records and registry disagree; the command that mends it is\n"
         "named.")  # fmt: skip
    lineage = verb(
        "lineage",
        commands.lineage,
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
    verb(
        "report", commands.report, "write reports/index.html: samples, curves, verdicts, champions"
    )
    ui = verb("ui", commands.ui, "open MLflow's UI on the store of this checkout")
    ui.add_argument("--port", type=int, default=5000, help="default: 5000")
    ui.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine only")
    _add_services_verb(verb)


def _add_services_verb(verb: Callable[..., argparse.ArgumentParser]) -> None:
    services = verb(
        "services",
        commands.services,
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
    journal = verb("journal", commands.journal, "show who was champion, since when and why")
    journal.add_argument("name", metavar="MODEL")
    journal.add_argument("--json", action="store_true", help="as a list of objects")

    rollback = verb(
        "rollback",
        commands.rollback,
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
        help="one that passed its gate (default: the champion before)",
    )
    rollback.add_argument("--reason", required=True, help="for the journal")

    reconcile = verb(
        "reconcile",
        commands.reconcile,
        "honour or put back what was done to aliases by hand, finish half-done moves",
        "An alias moved in MLflow to a version that passed its gate is written into the journal;\n"
        "from any other it is put back, with the reason on the version's page. Idempotent; exit\n"
        "code 0 if all is well or was mended.",
    )
    reconcile.add_argument("names", metavar="MODEL", nargs="*", help="default: all of params.yaml")


def _add_use_verbs(verb: Callable[..., argparse.ArgumentParser]) -> None:
    drift = verb(
        "drift",
        commands.drift,
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
        commands.sample,
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
        commands.encode,
        "write the latent coordinates of a data set under a VAE",
        "One row an item: split, item, label (if the set has labels) and z_0, z_1, … (the mean of\n"
        "q(z|x)): dimension reduction for plots, clustering or a small classifier.\n\n"
        "  genmint encode image-vae --out latents.parquet",
    )
    encode.add_argument("target", metavar="MODEL", help=_TARGET_HELP)
    encode.add_argument("--out", type=Path, required=True, metavar="FILE", help=".parquet or .csv")

    explore = verb(
        "explore",
        commands.explore,
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
        commands.bench,
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
        commands.spread,
        "measure how far trainings of a model differ by seed alone",
        "Trains the block several times with seeds of its own, measures each, and writes the file\n"
        "spreads/MODEL.json, which belongs into git. A challenger must beat the champion by more\n"
        "than that. models/MODEL stays as it is; interrupted, the same command goes on.",
    )
    spread.add_argument("name", metavar="MODEL")
    spread.add_argument("--trainings", type=int, default=5, help="5 or more (default: 5)")

    add = verb(
        "add",
        commands.add,
        "put a recipe's blocks into params.yaml; its comments and yours stay",
        "Without RECIPE it lists what recipes/ holds.",
    )
    add.add_argument("recipe", metavar="RECIPE", nargs="?")
    verb("doctor", commands.doctor, "check this machine, the environment and params.yaml")


def _version() -> str:
    from genmint import __version__

    return __version__
