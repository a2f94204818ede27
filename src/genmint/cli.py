"""The command line: the verbs, and the exit codes of their errors and interruptions."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from genmint.commands.add import add
from genmint.commands.bench import bench
from genmint.commands.calibrate import calibrate
from genmint.commands.config import config
from genmint.commands.deploy import deploy
from genmint.commands.doctor import doctor
from genmint.commands.drift import drift
from genmint.commands.encode import encode
from genmint.commands.explore import explore
from genmint.commands.export import export
from genmint.commands.gate import gate
from genmint.commands.journal import journal
from genmint.commands.keys import keys
from genmint.commands.lineage import lineage
from genmint.commands.new import new
from genmint.commands.promote import promote
from genmint.commands.reconcile import reconcile
from genmint.commands.report import report
from genmint.commands.rollback import rollback
from genmint.commands.sample import sample
from genmint.commands.services import services
from genmint.commands.spread import spread
from genmint.commands.stage import DATASET_STAGES, MODEL_STAGES, command, entry_of
from genmint.commands.status import status
from genmint.commands.ui import ui
from genmint.common.cores import limit_libraries
from genmint.common.errors import FAILURE_FILE, DiskFullError, GenmintError
from genmint.common.escaping import printable
from genmint.common.exhaustion import disk_full, exhaustion_error
from genmint.common.login import hand_on
from genmint.common.loopback import bypass_proxies
from genmint.common.termination import signals_interrupt

_DESCRIPTION = """\
Train, evaluate, gate and promote generative models on your own images, text and audio.

The usual round:

\b
  dvc repro                 run the stages whose inputs changed (params.yaml, data, code)
  genmint promote           register what passed its gate; the better one becomes champion
  genmint report            one page with samples, curves and gates: reports/index.html
"""
_EPILOG = """\
Exit codes: 0 done; 1 it failed, with one line on stderr; 2 wrong usage or configuration; 130
interrupted. `genmint VERB --help` explains a verb. Every setting is in params.yaml.
"""
_SECTIONS: dict[str, dict[str, Callable[..., int | None]]] = {
    title: {verb.__name__: verb for verb in verbs}
    for title, verbs in {
        "The usual round": (promote, report, status, gate),
        "Use a model": (sample, encode, explore, export, lineage),
        "The registry": (journal, rollback, reconcile, keys, ui),
        "Schedules and servers": (services, deploy, drift),
        "Set up": (new, add, config, doctor, bench, spread, calibrate),
    }.items()
} | {"Stages of dvc.yaml": {name: command(name) for name in (*DATASET_STAGES, *MODEL_STAGES)}}
# They divide the cores themselves, among the processes that they start.
_SHARE_CORES = ("new", "train", "spread", "calibrate", "bench", "services")


def run(arguments: Sequence[str]) -> int:
    """Run one verb and return its exit code."""
    try:
        typer.main.get_command(_app())(args=list(arguments), prog_name="genmint")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        print("\ngenmint: interrupted", file=sys.stderr)
        return 130
    raise AssertionError("a command always ends in SystemExit")


class _Sections(TyperGroup):
    """The list of verbs in sections."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for title, names in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([
                    (name, self.commands[name].get_short_help_str(limit=200)) for name in names
                ])  # fmt: skip


def _app() -> typer.Typer:
    app = typer.Typer(
        cls=_Sections,
        help=_DESCRIPTION,
        epilog=_EPILOG,
        # Plain text: it can be piped, and no library for panels is imported.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"max_content_width": 100},
    )
    app.callback()(_options)
    for verbs in _SECTIONS.values():
        for name, verb in verbs.items():
            app.command(name)(_guarded(name, verb))
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from genmint import __version__

        print(f"genmint {__version__}")
        raise typer.Exit


def _options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def _guarded(verb: str, function: Callable[..., int | None]) -> Callable[..., None]:
    """The function with its environment prepared and its errors as exit codes."""

    @functools.wraps(function)
    def guarded(**options: Any) -> None:
        raise typer.Exit(_exit_code(verb, function, options))

    return guarded


def _exit_code(verb: str, function: Callable[..., int | None], options: dict[str, Any]) -> int:
    try:
        hand_on(os.environ)
        bypass_proxies(os.environ)
        if verb not in _SHARE_CORES:
            limit_libraries()
        with signals_interrupt():
            code = function(**options) or 0
            _flush()
    except KeyboardInterrupt as interruption:
        print(f"\ngenmint {verb}: {str(interruption) or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone; that is its right.
        sys.stderr.close()
        return 0
    except Exception as error:
        name = options.get("name")
        failure = exhaustion_error(error, verb, entry_of(verb, name) if name else None)
        if failure is None and isinstance(error, GenmintError):
            from genmint.common.dvc_cache import with_damage

            failure = with_damage(error)
        if failure is None:
            raise
        return _fail(verb, failure)
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
    """Print in one line why a verb failed; return its exit code."""
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
        from genmint.common.files import write_json

        kinds = [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, GenmintError)]
        write_json(Path(path), {"kinds": kinds, "message": printable(str(error))})
