"""Search for the commit whose dvc.lock has exactly the hashes of a version."""

from __future__ import annotations

from genmint.common.dvc_lock import Entries, parse_lock
from genmint.common.layout import LOCK
from genmint.common.programs import GitError, file_at, git, has_git
from genmint.common.project import Project


def recorded_in(project: Project, entries: Entries) -> str | None:
    """Return the oldest commit whose dvc.lock has exactly these entries; None if there is none.

    Commands, parameters and every hash must be equal.

    Args:
        project: project whose git history is searched, on all branches and tags.
        entries: dvc.lock entries of one version's stages.

    Raises:
        GitError: git is not usable here.
        GenmintError: the dvc.lock of a commit with these hashes is damaged.
    """
    if not has_git(project):
        return None
    hashes = {
        str(item["md5"])
        for entry in entries.values()
        for part in ("deps", "outs")
        for item in entry.get(part) or []
        if "md5" in item
    }
    scope = ["HEAD", "--branches", "--remotes", "--tags", "--reverse", "--format=%H"]
    try:
        git(project, "rev-parse", "--quiet", "--verify", "HEAD")
    except GitError as error:
        if error.unusable:
            raise
        return None  # no commit exists yet
    for commit in git(project, "log", *scope, "--", LOCK).split():
        text = file_at(project, commit, LOCK) or ""
        # Parsing takes a hundred times as long as a substring search.
        if all(each in text for each in hashes) and _chosen(text, commit, entries) == entries:
            return commit
    return None


def lock_of(project: Project, commit: str, stages: Entries) -> Entries:
    """Return the entries of these stages in the dvc.lock of a commit, as far as it has them.

    Raises:
        GenmintError: its dvc.lock is damaged.
    """
    text = file_at(project, commit, LOCK)
    return {} if text is None else _chosen(text, commit, stages)


def _chosen(text: str, commit: str, stages: Entries) -> Entries:
    lock = parse_lock(text, f"{commit[:12]}:dvc.lock")
    return {stage: lock[stage] for stage in stages if stage in lock}
