"""The commit that recorded a state: the one whose dvc.lock has exactly its hashes."""

from __future__ import annotations

import subprocess

from genmint.errors import GenmintError
from genmint.lock import Entries, parse_lock
from genmint.project import Project


def recorded_in(project: Project, entries: Entries) -> str | None:
    """Find the oldest commit whose dvc.lock has these very entries; None if no commit has.

    Commands, parameters and every hash must be the same: nearly the same is not the same.

    Args:
        project: its git history is searched, all branches and tags.
        entries: of the stages of one version.
    """
    hashes = {
        str(item["md5"])
        for entry in entries.values()
        for part in ("deps", "outs")
        for item in entry.get(part) or []
        if "md5" in item
    }
    scope = ["HEAD", "--branches", "--remotes", "--tags", "--reverse", "--format=%H"]
    for commit in (git(project, "log", *scope, "--", "dvc.lock") or "").split():
        text = git(project, "show", f"{commit}:./dvc.lock") or ""
        # Parsing takes a hundred times as long as looking.
        if all(each in text for each in hashes) and _chosen(text, commit, entries) == entries:
            return commit
    return None


def lock_of(project: Project, commit: str, stages: Entries) -> Entries:
    """Entries of these stages in the dvc.lock of a commit, those that it has."""
    text = git(project, "show", f"{commit}:./dvc.lock")
    return {} if text is None else _chosen(text, commit, stages)


def _chosen(text: str, commit: str, stages: Entries) -> Entries:
    try:
        lock = parse_lock(text, f"{commit}:dvc.lock")
    except GenmintError:
        return {}
    return {stage: lock[stage] for stage in stages if stage in lock}


def git(project: Project, *arguments: str) -> str | None:
    """Output of git in the project; None where it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=project.root, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
