"""Checks of the Python environment, the programs and the machine.

Each check returns ok, ! or failed, and a line that says what was found.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from importlib.machinery import all_suffixes
from pathlib import Path

from genmint.common.cores import affinity, cores, quota
from genmint.common.project import Project

_GIGABYTE = 10**9


def check_python(_: Project) -> tuple[str, str]:
    """Compare the version of Python with those that genmint runs on."""
    version = ".".join(map(str, sys.version_info[:3]))
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        return "failed", f"{version}; genmint needs 3.11 to 3.13"
    return "ok", f"{version}, {sys.executable}"


def check_packages(project: Project) -> tuple[str, str]:
    """Compare the installed versions with the tested ones."""
    constraints = project.root / "requirements/constraints.txt"
    if not constraints.is_file():
        return "!", "no requirements/constraints.txt: versions were not compared"
    different = []
    for line in constraints.read_text(encoding="utf-8").splitlines():
        name, separator, version = line.partition("==")
        if not separator or name.startswith("#"):
            continue
        try:
            installed = importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue
        if installed != version:
            different.append(f"{name} {installed} (tested: {version})")
    if different:
        return "!", f"not as tested: {', '.join(different)}; `make setup` fixes it"
    return "ok", "as tested together (requirements/constraints.txt)"


def check_standard_library(project: Project) -> tuple[str, str]:
    """Find modules that shadow the standard library, such as an outdated backport.

    `python -m` puts the folder of the checkout first on the path; Prefect's temporary server puts
    the folder of the packages first.
    """
    folders = {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")}
    shadows = shadowing(sorted(folders | {project.root}))
    if not shadows:
        return "ok", "no package or file hides a module of it"
    named = "; ".join(
        f"{path} hides Python's own module: "
        + (f"`python -m pip uninstall {owner}` removes it" if owner else "rename or remove it")
        for owner, path in shadows
    )
    return "failed", f"{named}. Prefect's server and stages fail with errors about something else"


def shadowing(folders: Iterable[Path]) -> list[tuple[str | None, Path]]:
    """Return modules in these folders with the name of a standard library module.

    Returns:
        For each module its distribution, None if it belongs to none, and its path.
    """
    shadows: list[tuple[str | None, Path]] = []
    for folder in folders:
        hidden = [
            each
            for each in sorted(folder.iterdir())
            if each.name.partition(".")[0] in sys.stdlib_module_names and _is_module(each)
        ]
        if hidden:
            owners = {
                file.parts[0]: distribution.metadata["Name"]
                for distribution in importlib.metadata.distributions(path=[str(folder)])
                for file in distribution.files or ()
            }
            shadows += [(owners.get(each.name), each) for each in hidden]
    return shadows


def _is_module(path: Path) -> bool:
    """Return whether Python can import it; a folder without `__init__.py` shadows nothing."""
    if path.is_dir():
        return any((path / f"__init__{suffix}").is_file() for suffix in all_suffixes())
    name, dot, suffix = path.name.partition(".")
    return bool(name) and dot + suffix in all_suffixes()


def check_code(project: Project) -> tuple[str, str]:
    """Compare the running code with the checkout's, since a copied environment keeps its source."""
    import genmint

    running, own = Path(genmint.__file__).resolve().parent, project.root / "src" / "genmint"
    if own.is_dir() and running != own.resolve():
        return "!", (
            f"the code of {running} runs here, not that of {own}: this checkout was moved or "
            "copied with its environment, or uses another's; `make clean setup` makes its own"
        )
    return "ok", str(running)


def find_program(name: str, way_out: str) -> tuple[str, str]:
    """Find a program on PATH; `way_out` is what to do if it is not there."""
    path = shutil.which(name)
    return ("ok", path) if path else ("failed", f"not found; {way_out}")


def check_device(_: Project) -> tuple[str, str]:
    """Name the device that models train on."""
    import torch

    from genmint.training.hardware import unused_gpu

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return "ok", f"torch {torch.__version__}: {', '.join(names)}"
    unused = unused_gpu()
    if unused is not None:
        return "failed", unused
    limit = quota()
    of = "" if limit is None else f" (the container's quota: {limit:g} of {affinity()})"
    return "ok", f"torch {torch.__version__} on the CPU, {cores()} cores{of}"


def check_disk(project: Project) -> tuple[str, str]:
    """Report the free space of the project's disk."""
    free = shutil.disk_usage(project.root).free / _GIGABYTE
    return ("ok" if free > 5 else "!"), f"{free:.0f} GB free"


def check_mirror(_: Project) -> tuple[str, str]:
    """Look for the folder of GENMINT_DATA_MIRROR."""
    mirror = os.environ.get("GENMINT_DATA_MIRROR")
    if not mirror:
        return "ok", "GENMINT_DATA_MIRROR not set: named sets come from their URL"
    if not Path(mirror).is_dir():
        return "failed", f"GENMINT_DATA_MIRROR={mirror}: no such folder"
    return "ok", mirror
