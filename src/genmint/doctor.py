"""Is this machine, this environment and this checkout fit to run genmint?"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from genmint.config import load_params
from genmint.errors import GenmintError
from genmint.project import Project

_GIGABYTE = 10**9


def doctor(project: Project) -> int:
    """Print one line a check; 1 if one failed. A warning (!) is no failure."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    failed = False
    checks: tuple[tuple[str, Callable[[Project], tuple[str, str]]], ...] = (
        ("python", _python),
        ("packages", _packages),
        ("git", lambda _: _program("git", "install git: DVC and lineage need it")),
        ("dvc", _dvc),
        ("params.yaml", _params),
        ("data", _data_paths),
        ("device", _device),
        ("disk", _disk),
        ("data mirror", _mirror),
        ("registry", _registry),
    )
    for name, check in checks:
        try:
            mark, text = check(project)
        except GenmintError as error:
            mark, text = "failed", str(error)
        failed = failed or mark == "failed"
        style = {"ok": "green", "!": "yellow", "failed": "red"}[mark]
        table.add_row(f"[{style}]{mark}[/]", name, text)
    Console(highlight=False, soft_wrap=True).print(table)
    return 1 if failed else 0


def _python(_: Project) -> tuple[str, str]:
    version = ".".join(map(str, sys.version_info[:3]))
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        return "failed", f"{version}; genmint needs 3.11 to 3.13"
    return "ok", f"{version}, {sys.executable}"


def _packages(project: Project) -> tuple[str, str]:
    """Compare what is installed with what was tested together."""
    constraints = project.root / "constraints.txt"
    if not constraints.is_file():
        return "!", "no constraints.txt: versions were not compared"
    different = []
    for line in constraints.read_text(encoding="utf-8").splitlines():
        name, separator, version = line.partition("==")
        if not separator or name.startswith("#"):
            continue
        try:
            found = importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue
        if found != version:
            different.append(f"{name} {found} (tested: {version})")
    if different:
        return "!", f"not as tested: {', '.join(different)}; `make setup` mends it"
    return "ok", "as tested together (constraints.txt)"


def _program(name: str, way_out: str) -> tuple[str, str]:
    path = shutil.which(name)
    return ("ok", path) if path else ("failed", f"not found; {way_out}")


def _dvc(project: Project) -> tuple[str, str]:
    if not (project.root / ".dvc").is_dir():
        return "failed", "no .dvc folder; run `dvc init`"
    found = shutil.which("python")
    if found is None or Path(found).resolve() != Path(sys.executable).resolve():
        return "!", (
            "stages call `python`, which is not the one of this environment here; "
            "activate it: . .venv/bin/activate"
        )
    return _program("dvc", "activate the environment: . .venv/bin/activate")


def _params(project: Project) -> tuple[str, str]:
    params = load_params(project.params)
    without = [name for name in params.models if name not in params.gates]
    if without:
        return "!", f"no block in gates for {', '.join(without)}: they can never be promoted"
    return "ok", f"{len(params.datasets)} data sets, {len(params.models)} models"


def _data_paths(project: Project) -> tuple[str, str]:
    params = load_params(project.params)
    missing = [
        f"datasets.{name}.path: {block.path}"
        for name, block in params.datasets.items()
        if not (project.root / block.path).exists()
    ]
    return (
        ("failed", f"not there: {'; '.join(missing)}") if missing else ("ok", "every path exists")
    )


def _device(_: Project) -> tuple[str, str]:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return "ok", f"torch {torch.__version__}: {', '.join(names)}"
    return "ok", f"torch {torch.__version__} on the CPU, {os.cpu_count()} cores"


def _disk(project: Project) -> tuple[str, str]:
    free = shutil.disk_usage(project.root).free / _GIGABYTE
    return ("ok" if free > 5 else "!"), f"{free:.0f} GB free"


def _mirror(_: Project) -> tuple[str, str]:
    mirror = os.environ.get("GENMINT_DATA_MIRROR")
    if not mirror:
        return "ok", "GENMINT_DATA_MIRROR not set: named sets come from their URL"
    if not Path(mirror).is_dir():
        return "failed", f"GENMINT_DATA_MIRROR={mirror}: no such folder"
    return "ok", mirror


def _registry(project: Project) -> tuple[str, str]:
    from genmint import tracking

    if tracking.is_embedded() and not tracking.database(project).exists():
        return "ok", f"{tracking.database(project)}: not made yet; the first training makes it"
    tracking.connect(project)
    return "ok", f"{tracking.uri(project)} answers"
