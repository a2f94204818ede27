"""Is this machine, this environment and this checkout fit to run genmint?"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genmint.config import load_params
from genmint.data.content_store import content_stores
from genmint.data.folder import Folder
from genmint.data.locate import existing_source
from genmint.dvc_config import dvc_config
from genmint.errors import GenmintError
from genmint.preflight import check_output_folders
from genmint.programs import problem
from genmint.project import HOME, Project
from genmint.repository import working_tree
from genmint.rwlock import damaged_rwlock, mend_rwlock

_GIGABYTE = 10**9
_ANSWER_SECONDS = 5.0


Check = Callable[[Project], tuple[str, str]]


def doctor(project: Project) -> int:
    """Print one line a check; 1 if one failed. A warning (!) is no failure."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    failed = False
    for name in _checks():
        mark, text = check(project, name)
        failed = failed or mark == "failed"
        style = {"ok": "green", "!": "yellow", "failed": "red"}[mark]
        table.add_row(f"[{style}]{mark}[/]", name, escape(text))
    Console(highlight=False, soft_wrap=True).print(table)
    return 1 if failed else 0


def check(project: Project, name: str) -> tuple[str, str]:
    """Run one check: ok, ! or failed, and a line that says what was found."""
    try:
        return _checks()[name](project)
    except GenmintError as error:
        return "failed", str(error)


def _checks() -> dict[str, Check]:
    return {
        "python": _python,
        "packages": _packages,
        "code": _code,
        "git": _git,
        "home": _home,
        "dvc": _dvc,
        "dvc locks": _dvc_locks,
        "params.yaml": _params,
        "data": _data_paths,
        "folders": _folders,
        "device": _device,
        "disk": _disk,
        "data mirror": _mirror,
        "registry": _registry,
        "artefacts": _artefacts,
        "prefect": _prefect,
    }


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


def _code(project: Project) -> tuple[str, str]:
    """Compare the code that runs with the checkout's: a copied environment keeps the original's."""
    import genmint

    running, own = Path(genmint.__file__).resolve().parent, project.root / "src" / "genmint"
    if own.is_dir() and running != own.resolve():
        return "!", (
            f"the code of {running} runs here, not that of {own}: this checkout was moved or "
            "copied with its environment, or uses another's; `make clean setup` makes its own"
        )
    return "ok", str(running)


def _git(project: Project) -> tuple[str, str]:
    """Ask git itself: a program that is there may refuse the folder."""
    path = shutil.which("git")
    without = (project.root / ".dvc").is_dir() and dvc_config(project.root).get("core", {}).get(
        "no_scm"
    )
    if path is None:
        refusal = "not found on PATH; install git: DVC, lineage and flows need it"
    else:
        refusal = problem(project) or ""
    if not refusal:
        return "ok", str(path)
    if without:
        return "!", f"{refusal} (core.no_scm is set: stages run; flows and `dvc exp` do not)"
    return "failed", f"{refusal} Only stages: `dvc config --local core.no_scm true`"


def _home(project: Project) -> tuple[str, str]:
    """Name the folder that keeps the registry, where it is not this one."""
    tree = working_tree(project.root)
    named = os.environ.get(HOME)
    if tree is not None and tree.main is None and not named and project.home == project.root:
        return "!", (
            f"{project.home} keeps a registry of its own: git names no main working tree. Set "
            f"{HOME} to the one of this repository's working trees whose registry all should use"
        )
    return "ok", f"{project.home} keeps registry and checkpoints"


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


def _dvc_locks(project: Project) -> tuple[str, str]:
    mended = mend_rwlock(project)
    if mended is None:
        return "ok", "DVC can read its locks"
    return ("failed" if damaged_rwlock(project) else "!"), mended


def _params(project: Project) -> tuple[str, str]:
    params = load_params(project.params)
    without = [name for name in params.models if name not in params.gates]
    if without:
        return "!", f"no block in gates for {', '.join(without)}: they can never be promoted"
    return "ok", f"{len(params.datasets)} data sets, {len(params.models)} models"


def _data_paths(project: Project) -> tuple[str, str]:
    params = load_params(project.params)
    problems, stops = [], []
    for name, dataset in params.datasets.items():
        try:
            source = existing_source(project, name, dataset.path)
        except GenmintError as error:
            problems.append(str(error))
            continue
        if source.is_dir():
            folder = Folder(source, dataset.follow_links, content_stores(project, source))
            stops += [f"datasets.{name}.path: {dataset.path}/{each}" for each in folder.stops_dvc()]
    if problems:
        return "failed", "; ".join([*problems, *stops])
    if stops:
        return "!", (
            "`dvc repro` stops, or waits for ever, at files that .dvcignore does not list: "
            f"{'; '.join(stops)}"
        )
    return "ok", "every path can be read"


def _folders(project: Project) -> tuple[str, str]:
    check_output_folders(project)
    return "ok", "no folder of outputs is a link"


def _device(_: Project) -> tuple[str, str]:
    import torch

    from genmint.training.hardware import unused_gpu

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return "ok", f"torch {torch.__version__}: {', '.join(names)}"
    unused = unused_gpu()
    if unused is not None:
        return "failed", unused
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


def _artefacts(project: Project) -> tuple[str, str]:
    """Compare where the embedded store expects artefacts with where they are; changes nothing."""
    from genmint import tracking
    from genmint.tracking.relocation import elsewhere

    database, artefacts = tracking.database(project), project.home / "mlartifacts"
    if not tracking.is_embedded() or not database.exists():
        return "ok", "the embedded store is not used"
    found = elsewhere(database, artefacts)
    if not found:
        return "ok", f"{artefacts}"
    places = "; ".join(
        f"{each.count} in {each.root}" + ("" if each.root.is_dir() else " (not there)")
        for each in found
    )
    return "!", (
        f"the registry expects artefacts of another checkout: {places}. This checkout was moved or "
        f"copied: the next command that uses the registry takes those that are in {artefacts}; "
        "copy what is missing there"
    )


def _prefect(_: Project) -> tuple[str, str]:
    """Ask the Prefect server that flows would use; its own commands end in long tracebacks."""
    import requests
    from prefect.settings import get_current_settings

    address = os.environ.get("PREFECT_API_URL") or get_current_settings().api.url
    if not address:
        return "ok", "PREFECT_API_URL not set: only flows need a server (`make services`)"
    way_out = (
        "Start it (`make services`), or correct PREFECT_API_URL (environment, prefect.toml, or "
        "Prefect's profile)"
    )
    try:
        answer = requests.get(f"{address.rstrip('/')}/health", timeout=_ANSWER_SECONDS)
    except requests.RequestException as error:
        reason = type(error).__name__
        return "failed", f"{address}: Prefect's server does not answer ({reason}). {way_out}"
    if not answer.ok:
        return "failed", f"{address}: is no API of Prefect (HTTP {answer.status_code}). {way_out}"
    return "ok", f"{address} answers"
