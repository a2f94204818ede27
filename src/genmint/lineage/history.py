"""The commit that recorded a state: the one whose dvc.lock has exactly its hashes."""

from __future__ import annotations

from genmint.lock import Entries, parse_lock
from genmint.programs import GitError, file_at, git, has_git
from genmint.project import Project


def recorded_in(project: Project, entries: Entries) -> str | None:
    """Find the oldest commit whose dvc.lock has these very entries; None if no commit has.

    Commands, parameters and every hash must be the same: nearly the same is not the same.

    Args:
        project: its git history is searched, all branches and tags.
        entries: of the stages of one version.

    Raises:
        GitError: git cannot be used here.
        GenmintError: the dvc.lock of a commit that has these hashes is damaged.
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
        return None  # nothing was committed yet
    for commit in git(project, "log", *scope, "--", "dvc.lock").split():
        text = file_at(project, commit, "dvc.lock") or ""
        # Parsing takes a hundred times as long as looking.
        if all(each in text for each in hashes) and _chosen(text, commit, entries) == entries:
            return commit
    return None


def lock_of(project: Project, commit: str, stages: Entries) -> Entries:
    """Entries of these stages in the dvc.lock of a commit, those that it has.

    Raises:
        GenmintError: its dvc.lock is damaged.
    """
    text = file_at(project, commit, "dvc.lock")
    return {} if text is None else _chosen(text, commit, stages)


def _chosen(text: str, commit: str, stages: Entries) -> Entries:
    lock = parse_lock(text, f"{commit[:12]}:dvc.lock")
    return {stage: lock[stage] for stage in stages if stage in lock}
