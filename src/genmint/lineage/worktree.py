"""Restoring a version's state into a git worktree in which all stages are up to date."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from genmint.common.dvc_config import has_remote
from genmint.common.dvc_lock import Entries, hashes, read_lock, stages_of, written
from genmint.common.errors import GenmintError
from genmint.common.files import atomic_path
from genmint.common.git_worktrees import add_worktree, remove_worktree
from genmint.common.programs import GitError, git, run_dvc
from genmint.common.project import Project
from genmint.common.reading import read_yaml
from genmint.lineage.commit_search import lock_of
from genmint.lineage.links import Lineage

_SHOWN_FILES = 5


@dataclass(frozen=True)
class Restored:
    """A version's state in a git worktree.

    Attributes:
        commit: commit that is checked out there.
        missing: outputs of the version's stages that the DVC cache lacks.
        has_remote: whether DVC has a default remote, which may have them.
    """

    commit: str
    missing: tuple[str, ...]
    has_remote: bool

    def next_step(self, model: str) -> str:
        """Return what `dvc repro` will do in the worktree."""
        command = f"`dvc repro --pull gate@{model}` there"
        if not self.missing:
            return f"{command} has nothing to run"
        shown = ", ".join(self.missing[:_SHOWN_FILES])
        if len(self.missing) > _SHOWN_FILES:
            shown += f" and {len(self.missing) - _SHOWN_FILES} more"
        gone = f"DVC's cache lacks {shown} (deleted by `dvc gc`, or never computed here)"
        if self.has_remote:
            return f"{gone}: {command} fetches files from DVC's remote and recomputes the others"
        return f"{gone}, and DVC has no default remote: {command} recomputes them"


def check_out(
    project: Project, lineage: Lineage, evaluation: Path | None, target: Path
) -> Restored:
    """Restore code, settings, hashes and files of a version into a new git worktree.

    The code is that of a commit. params.yaml and dvc.lock stored with the version replace those of
    the commit if they differ. The DVC cache is shared with this checkout. DVC then checks whether
    any stage of the version differs; if one does, the worktree is removed.

    Args:
        project: project whose repository and cache are used.
        lineage: lineage of the version.
        evaluation: folder with the files stored with it, or None.
        target: folder of the worktree; must be missing or empty.

    Raises:
        GenmintError: the version cannot be restored; the message names cause and remedy.
    """
    name = f"{lineage.model}/{lineage.version}"
    entries = _entries(lineage, evaluation, name)
    assert evaluation is not None
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise GenmintError(f"{target}: exists and is not empty. Name a folder that does not exist.")
    reasons = []
    for commit in _candidates(project, lineage, name):
        with _worktree(project, commit, target) as (root, keep):
            _overlay(root, project, commit, evaluation, entries)
            differing = _differing(root, lineage.model, entries)
            if not differing:
                keep()
                return Restored(commit, _missing(root, entries), has_remote(root.root))
            reasons.append(f"commit {commit[:12]} {', '.join(differing)}")
    raise GenmintError(
        f"{name} was made from files that no commit here has: {'; '.join(reasons)}. Commit them, "
        "or fetch the branch that has them."
    )


def _entries(lineage: Lineage, evaluation: Path | None, name: str) -> Entries:
    if lineage.broken:
        raise GenmintError(f"{name} cannot be restored: {'; '.join(lineage.broken)}")
    if evaluation is None or lineage.stages is None or lineage.dataset is None:
        reason = lineage.unknown.get("stages", "its stages are unknown")
        raise GenmintError(f"{name} cannot be restored: {reason}")
    lock = read_lock(Project(evaluation).lock)
    return {stage: lock[stage] for stage in stages_of(lineage.model, lineage.dataset)}


def _candidates(project: Project, lineage: Lineage, name: str) -> list[str]:
    """Return the commits that may have the code, first the one that recorded the hashes."""
    commit = lineage.commit
    if commit is None:
        raise GenmintError(f"{name} cannot be restored: {lineage.unknown['commit']}")
    named = dict.fromkeys(each for each in (commit["recorded"], commit["training"]) if each)
    known = [each for each in named if _is_here(project, each)]
    if not known:
        raise GenmintError(
            f"{name} cannot be restored: commit {next(iter(named))} is not in this repository. "
            "Run `git fetch --all`, or push it from where it was made."
        )
    return known


def _is_here(project: Project, commit: str) -> bool:
    try:
        git(project, "cat-file", "-e", f"{commit}^{{commit}}")
    except GitError as error:
        if error.unusable:
            raise
        return False
    return True


@contextlib.contextmanager
def _worktree(project: Project, commit: str, target: Path) -> Iterator[tuple[Project, Any]]:
    """Yield a new worktree and a function that keeps it; otherwise it is removed on exit."""
    existed = target.is_dir()
    kept = False

    def keep() -> None:
        nonlocal kept
        kept = True

    root = add_worktree(project, target, commit)
    try:
        yield root, keep
    finally:
        if not kept:
            remove_worktree(project, target)
            if existed:
                target.mkdir(parents=True, exist_ok=True)


def _overlay(
    root: Project, project: Project, commit: str, evaluation: Path, entries: Entries
) -> None:
    """Copy the stored params.yaml and lock entries into the worktree if the commit's differ."""
    stored = Project(evaluation).params
    if not stored.is_file():
        raise GenmintError(f"{stored.name} was not stored with the version")
    if not root.params.is_file() or root.params.read_bytes() != stored.read_bytes():
        shutil.copyfile(stored, root.params)
    if lock_of(project, commit, entries) == entries:
        return
    # Other models keep the hashes that the commit has for them.
    lock = {"schema": "2.0", "stages": read_lock(root.lock) | entries}
    with atomic_path(root.lock) as temporary, temporary.open("w", encoding="utf-8") as stream:
        yaml = YAML(typ="safe", pure=True)
        yaml.default_flow_style = False
        yaml.dump(lock, stream)


def _differing(root: Project, name: str, entries: Entries) -> list[str]:
    """Check out the files that the cache has; return the inputs that differ from the version's."""
    gate = f"gate@{name}"
    run_dvc(root, "checkout", "--quiet", "--allow-missing", "--with-deps", gate)
    status = json.loads(run_dvc(root, "status", "--json", *entries))
    outs = written(entries)
    read = {path: md5 for entry in entries.values() for path, md5 in hashes(entry, "deps").items()}
    differing = []
    for stage, changes in status.items():
        for change in changes:
            if not isinstance(change, dict):
                differing.append(f"has another dvc.yaml ({stage}: {change})")
                continue
            for what, state in change.get("changed deps", {}).items():
                if state != "deleted":
                    keys = f" ({', '.join(state)})" if isinstance(state, dict) else ""
                    differing.append(f"has another {what}{keys}")
                elif what not in outs and not _is_added(root, what, read[what]):
                    differing.append(f"lacks {what}")
    return list(dict.fromkeys(differing))


def _missing(root: Project, entries: Entries) -> tuple[str, ...]:
    """Return the outputs that `dvc checkout` could not restore."""
    return tuple(path for path in written(entries) if not (root.root / path).exists())


def _is_added(root: Project, path: str, md5: str) -> bool:
    """Whether `dvc add` recorded this content of `path`, so that `dvc repro --pull` fetches it."""
    pointer = root.root / f"{path}.dvc"
    if not pointer.is_file():
        return False
    try:
        return md5 in [str(out.get("md5")) for out in read_yaml(pointer)["outs"]]
    except (GenmintError, KeyError, TypeError, AttributeError):
        raise GenmintError(f"{path}.dvc, as committed, is not a DVC pointer") from None
