"""Checks whether machine, environment and checkout can run genmint."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genmint.common.console import print_json
from genmint.common.errors import GenmintError
from genmint.common.project import Project
from genmint.diagnostics import checkout, environment, servers

_DoctorCheck = Callable[[Project], tuple[str, str]]


def doctor(project: Project, *, as_json: bool = False) -> int:
    """Print one line per check; return 1 if one failed. A warning (!) is not a failure.

    As JSON it prints a list of objects with `check`, `result` (ok, ! or failed) and `text`.
    """
    checks = [(name, *check(project, name)) for name in _checks()]
    if as_json:
        rows = [{"check": name, "result": mark, "text": text} for name, mark, text in checks]
        print_json(rows)
    else:
        _print(checks)
    return 1 if any(mark == "failed" for _, mark, _ in checks) else 0


def _print(checks: list[tuple[str, str, str]]) -> None:
    table = Table(box=None, show_header=False, padding=(0, 1))
    for name, mark, text in checks:
        style = {"ok": "green", "!": "yellow", "failed": "red"}[mark]
        table.add_row(f"[{style}]{mark}[/]", name, escape(text))
    Console(highlight=False, soft_wrap=True).print(table)


def check(project: Project, name: str) -> tuple[str, str]:
    """Run one check; return ok, ! or failed, and a line with the finding."""
    try:
        return _checks()[name](project)
    except GenmintError as error:
        return "failed", str(error)


def _checks() -> dict[str, _DoctorCheck]:
    return {
        "python": environment.check_python,
        "packages": environment.check_packages,
        "standard library": environment.check_standard_library,
        "code": environment.check_code,
        "git": checkout.check_git,
        "line ends": checkout.check_line_ends,
        "home": checkout.check_home,
        "dvc": checkout.check_dvc,
        "file locks": checkout.check_file_locks,
        "dvc locks": checkout.check_dvc_locks,
        "params.yaml": checkout.check_params,
        "data": checkout.check_data_paths,
        "folders": checkout.check_folders,
        "device": environment.check_device,
        "disk": environment.check_disk,
        "data mirror": environment.check_mirror,
        "registry": servers.check_registry,
        "artefacts": servers.check_artefacts,
        "prefect": servers.check_prefect,
    }
