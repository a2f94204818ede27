"""Checks of the checkout: git, DVC, locks, params.yaml, data.

Each check returns ok, ! or failed, and a line that says what was found.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from genmint.common.dvc_config import dvc_config
from genmint.common.dvc_preflight import check_output_folders
from genmint.common.dvc_rwlock import damaged_rwlock, repair_rwlock
from genmint.common.errors import DataError, GenmintError
from genmint.common.file_lock import has_locks, place_of
from genmint.common.git_repository import working_tree
from genmint.common.programs import GitError, git, git_problem, has_git
from genmint.common.project import HOME, Project
from genmint.config import load_params
from genmint.data.ingestion.content_store import content_stores
from genmint.data.ingestion.folder import Folder
from genmint.data.ingestion.locate import existing_source
from genmint.data.ingestion.sources import DESCRIPTIONS, own_files
from genmint.diagnostics.environment import find_program


def check_git(project: Project) -> tuple[str, str]:
    """Run git in the folder, since an installed git may refuse it."""
    path = shutil.which("git")
    without = (project.root / ".dvc").is_dir() and dvc_config(project.root).get("core", {}).get(
        "no_scm"
    )
    if path is None:
        refusal = "not found on PATH; install git: DVC, lineage and flows need it"
    else:
        refusal = git_problem(project) or ""
    if not refusal:
        return "ok", str(path)
    if without:
        return "!", f"{refusal} (core.no_scm is set: stages run; flows and `dvc exp` do not)"
    return "failed", f"{refusal} Only stages: `dvc config --local core.no_scm true`"


def check_line_ends(project: Project) -> tuple[str, str]:
    """Compare line ends with those of the commit, since DVC treats a difference as a change."""
    if not has_git(project):
        return "ok", "no git repository"
    try:
        listed = git(project, "ls-files", "--eol").splitlines()
    except GitError as error:
        return "!", str(error)
    other = [
        line.partition("\t")[2]
        for line in listed
        if line.startswith("i/lf") and line.split()[1] in ("w/crlf", "w/mixed")
    ]
    if not other:
        return "ok", "line ends are those of the commit"
    return "!", (
        f"{len(other)} files have CRLF where the commit has LF ({other[0]}, …): DVC takes them for "
        "changed, and runs their stages again. Commit or stash your changes, then run "
        "`git rm -rq --cached . && git reset -q --hard`"
    )


def check_home(project: Project) -> tuple[str, str]:
    """Report the folder that keeps the registry."""
    tree = working_tree(project.root)
    named = os.environ.get(HOME)
    if tree is not None and tree.main is None and not named and project.home == project.root:
        return "!", (
            f"{project.home} keeps a registry of its own: git names no main working tree. Set "
            f"{HOME} to the one of this repository's working trees whose registry all should use"
        )
    return "ok", f"{project.home} keeps registry and checkpoints"


def check_dvc(project: Project) -> tuple[str, str]:
    """Look for DVC, its folder, and the Python that stages call."""
    if not (project.root / ".dvc").is_dir():
        return "failed", "no .dvc folder; run `dvc init`"
    interpreter = shutil.which("python")
    if interpreter is None or Path(interpreter).resolve() != Path(sys.executable).resolve():
        return "!", (
            "stages call `python`, which is not the one of this environment here; "
            "activate it: . .venv/bin/activate"
        )
    return find_program("dvc", "activate the environment: . .venv/bin/activate")


def check_file_locks(project: Project) -> tuple[str, str]:
    """Check that the file system has locks (flock), or DVC is configured to work without."""
    if all(has_locks(folder) for folder in {project.root, project.home}):
        return "ok", "this file system has file locks"
    # Raises if the lock folder's file system has no locks either.
    place = place_of(project.home / "lock").parent
    hardlinks = dvc_config(project.root).get("core", {}).get("hardlink_lock")
    if not has_locks(project.root) and not hardlinks:
        return "failed", (
            f"{project.root}: this file system has no file locks (flock), and DVC would say that "
            "another DVC runs: `dvc config --local core.hardlink_lock true`, and remove "
            ".dvc/tmp/lock, which it left"
        )
    return "!", (
        f"{project.home}: this file system has no file locks (flock); those of genmint lie in "
        f"{place}: use this checkout on one machine at a time"
    )


def check_dvc_locks(project: Project) -> tuple[str, str]:
    """Repair DVC's table of locks if it is damaged and no DVC process runs."""
    repaired = repair_rwlock(project)
    if repaired is None:
        return "ok", "DVC can read its locks"
    return ("failed" if damaged_rwlock(project) else "!"), repaired


def check_params(project: Project) -> tuple[str, str]:
    """Read params.yaml, and look for models without a gate."""
    params = load_params(project.params)
    without = [name for name in params.models if name not in params.gates]
    if without:
        return "!", f"no entry in gates for {', '.join(without)}: they can never be promoted"
    return "ok", f"{len(params.datasets)} data sets, {len(params.models)} models"


def check_data_paths(project: Project) -> tuple[str, str]:
    """Look for the files of every data set, and for those that stop DVC."""
    params = load_params(project.params)
    problems, stops = [], []
    for name, dataset in params.datasets.items():
        try:
            source = existing_source(project, name, dataset.path)
        except GenmintError as error:
            problems.append(str(error))
            continue
        stores = content_stores(project, source)
        try:
            if source.suffix not in DESCRIPTIONS or source.is_dir():
                own_files(source, dataset, stores)
        except DataError as error:
            problems.append(f"datasets.{name}.path: {error}")
        if source.is_dir():
            folder = Folder(source, dataset.follow_links, stores)
            stops += [f"datasets.{name}.path: {dataset.path}/{each}" for each in folder.stops_dvc()]
    if problems:
        return "failed", "; ".join([*problems, *stops])
    if stops:
        return "!", (
            "`dvc repro` stops, or waits for ever, at files that .dvcignore does not list: "
            f"{'; '.join(stops)}"
        )
    return "ok", "every path can be read"


def check_folders(project: Project) -> tuple[str, str]:
    """Look for folders of outputs that are links."""
    check_output_folders(project)
    return "ok", "no folder of outputs is a link"
