"""User-provided data sources in a flow's checkout, taken from the home tree if not committed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from genmint.common.dvc_config import has_remote
from genmint.common.errors import ConfigError, DataError, GenmintError
from genmint.common.escaping import escape_name
from genmint.common.programs import git, run_dvc
from genmint.common.project import Project
from genmint.config import Dataset, Params
from genmint.data.ingestion.content_store import content_stores
from genmint.data.ingestion.folder import Folder
from genmint.data.ingestion.locate import existing_source, source_path
from genmint.data.ingestion.sources import DESCRIPTIONS, own_files

_SHOWN_FILES = 5


def copy_sources(
    home: Project,
    checkout: Project,
    params: Params,
    fresh: tuple[str, ...],
    wanted: Container[str] | None = None,
    *,
    ignore_uncommitted: bool = False,
) -> list[str]:
    """Copy user-provided sources into a checkout: those that no commit has, and those in `fresh`.

    A folder or file at data/own without `dvc add` exists only on this machine. It is added in the
    checkout, so that the published commit has its hash and the DVC cache its content.

    Args:
        home: project that contains the sources.
        checkout: project that they are copied into.
        params: settings of the checkout.
        fresh: data sets whose source is taken from `home`, whatever the commit has.
        wanted: data sets that are needed; None for all.
        ignore_uncommitted: use the committed files of a folder tracked by git, even if it contains
            others.

    Returns:
        The paths of the pointers (`.dvc` files) that were written.

    Raises:
        ConfigError: `fresh` names an unknown data set; a path is outside the repository; or a
            source that must be tracked by git or DVC is not.
        DataError: a source cannot be read.
        GenmintError: git or DVC fails.
    """
    _refuse_unknown_names(params, fresh)
    pointers = []
    for name, dataset in params.datasets.items():
        if wanted is None or name in wanted:
            pointer = _adopt(
                home, checkout, name, dataset,
                fresh=name in fresh, ignore_uncommitted=ignore_uncommitted,
            )  # fmt: skip
            if pointer is not None:
                pointers.append(os.path.relpath(pointer, checkout.root))
    return pointers


def adopt_each(
    home: Project,
    checkout: Project,
    params: Params,
    fresh: tuple[str, ...],
    wanted: Iterable[str],
    *,
    ignore_uncommitted: bool = False,
) -> dict[str, str]:
    """Call `copy_sources` for each data set separately, so that a failure does not affect others.

    Returns:
        The error message of each failed data set, by name.

    Raises:
        ConfigError: `fresh` names an unknown data set.
    """
    _refuse_unknown_names(params, fresh)
    failures = {}
    for name in sorted(wanted):
        try:
            copy_sources(
                home, checkout, params, fresh, (name,), ignore_uncommitted=ignore_uncommitted
            )
        except GenmintError as error:
            failures[name] = str(error)
    return failures


def _refuse_unknown_names(params: Params, fresh: tuple[str, ...]) -> None:
    for name in fresh:
        if name not in params.datasets:
            raise ConfigError(f"params.yaml has no data set {name!r}")


def fetch_source(checkout: Project, target: Path) -> bool:
    """Restore a source tracked by DVC in a checkout.

    Pointers may lie beside the source, beside a parent folder, or inside it. Files that neither
    cache nor remote has stay missing; ingest then reports them.

    Returns:
        Whether there are pointers.
    """
    pointers = _pointers(checkout, target)
    for pointer in pointers:
        place = pointer.with_suffix("")
        run_dvc(checkout, "checkout", "--allow-missing", str(pointer))
        if not place.exists() and has_remote(checkout.root):
            run_dvc(checkout, "pull", "--allow-missing", str(pointer))
    return bool(pointers)


def _adopt(
    home: Project,
    checkout: Project,
    name: str,
    dataset: Dataset,
    *,
    fresh: bool,
    ignore_uncommitted: bool,
) -> Path | None:
    """Copy one source; return its new pointer, None if it needs none."""
    source, target = (source_path(where, name, dataset.path) for where in (home, checkout))
    if Path(dataset.path).is_absolute():
        return None  # it is read in place
    pointers = _pointers(checkout, target)
    pointer = target.with_name(f"{target.name}.dvc")
    is_here = os.path.lexists(source)
    if pointers and not (fresh and is_here):
        fetch_source(checkout, target)
        if target in pointers[0].parents and not ignore_uncommitted:
            _refuse_unknown_to_git(home, checkout, name, dataset.path, pointers)
        return None
    if pointers and pointers != [pointer]:
        shown = ", ".join(os.path.relpath(each, checkout.root) for each in pointers[:_SHOWN_FILES])
        raise ConfigError(
            f"datasets.{name}.path: {dataset.path}: DVC keeps it by {shown}, so a flow cannot use "
            "its uncommitted state. Run `dvc add` on what changed, commit the pointer, and do not "
            f"name {name} in fresh."
        )
    if not pointers and target.exists():
        if not ignore_uncommitted:
            _refuse_unknown_to_git(home, checkout, name, dataset.path, [])
        return None
    if not is_here:
        return None
    if source.suffix in DESCRIPTIONS and source.is_file():
        raise ConfigError(
            f"datasets.{name}.path: {dataset.path}: describes a data set and is not committed. "
            f"Run `git add {dataset.path}` and commit it."
        )
    pointer.unlink(missing_ok=True)
    copy_source(home, name, dataset, target)
    run_dvc(checkout, "add", str(target))
    return pointer


def copy_source(home: Project, name: str, dataset: Dataset, target: Path) -> None:
    """Copy a source, folder or file, as ingest would read it in `home`; atomic.

    It is a copy, since DVC makes added files read-only, and a link would affect the user's file.

    Raises:
        ConfigError, DataError: as `existing_source`, `own_files` and `Folder.copy`.
    """
    source = existing_source(home, name, dataset.path)
    stores = content_stores(home, source)
    # Check before copying: files that exist only as pointers would be missing from the copy.
    own_files(source, dataset, stores)
    target.parent.mkdir(parents=True, exist_ok=True)
    whole = False
    try:
        if source.is_dir():
            Folder(source, dataset.follow_links, stores).copy(target)
        else:
            shutil.copy2(source, target)
        whole = True
    except OSError as error:
        shown = escape_name(dataset.path)
        raise DataError(
            f"datasets.{name}.path: {shown}: cannot be copied: {error.strerror or error}"
        ) from None
    finally:
        if not whole:
            target.unlink(missing_ok=True) if target.is_file() else shutil.rmtree(
                target, ignore_errors=True
            )


def _pointers(checkout: Project, target: Path) -> list[Path]:
    """Return the `.dvc` files that cover `target`."""
    for path in (target, *target.parents):
        if path in (checkout.root, checkout.root.parent):
            break
        pointer = path.with_name(f"{path.name}.dvc")
        if pointer.is_file():
            return [pointer]
    inside = target.rglob("*.dvc") if target.is_dir() else ()
    return sorted(path for path in inside if path.is_file())


def _refuse_unknown_to_git(
    home: Project, checkout: Project, name: str, path: str, pointers: Sequence[Path]
) -> None:
    """Raise if git and DVC track only a part of a folder, since a flow would train on that part."""
    source = source_path(home, name, path)
    if not source.is_dir():
        return
    kept = [Path(os.path.relpath(pointer.with_suffix(""), checkout.root)) for pointer in pointers]
    # git runs in the folder itself, which may be in a submodule.
    listed = git(Project(source), "ls-files", "-z", "--others", "--", ".").split("\0")
    unknown = [
        name
        for name in (f"{path}/{each}" for each in listed if each)
        if not any(Path(name).is_relative_to(folder) for folder in kept)
    ]
    if unknown:
        shown = ", ".join(escape_name(each) for each in unknown[:_SHOWN_FILES])
        more = f" and {len(unknown) - _SHOWN_FILES} more" if len(unknown) > _SHOWN_FILES else ""
        raise ConfigError(
            f"datasets.{name}.path: a part of {path} is committed, but not {shown}{more}. Commit "
            "them (git or dvc add) or move them away; ignore_uncommitted trains what is committed."
        )
