"""Resolution of a revision to a commit; remote revisions are fetched first."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from genmint.common.errors import ConfigError, TemporaryError
from genmint.common.programs import GitError, git
from genmint.common.project import Project
from genmint.flow.checkout import git_remote

_SHOWN_FILES = 10
_TRACKING = "refs/remotes/"
_SHOWN_DIGITS = 12
_HASH = re.compile(r"[0-9a-f]{7,64}")
# Suffixes of a name in a revision: main~2, main^{tree}, main:path.
_SUFFIX = re.compile(r"[~^:]")
# Leave the user's other remote-tracking branches, tags and FETCH_HEAD unchanged.
_FETCH = (
    *("fetch", "--quiet", "--no-tags", "--no-prune", "--no-write-fetch-head"),
    "--no-recurse-submodules",
)


@dataclass(frozen=True)
class _RemoteBranch:
    """A branch of a remote, and its local remote-tracking ref."""

    remote: str
    source: str
    tracking: str


def resolve_revision(home: Project, revision: str, *, ignore_uncommitted: bool) -> str:
    """Return the commit of a revision of the home repository.

    A remote-tracking revision (`origin/main`, `@{upstream}`) is fetched first, and so is the hash
    of a missing commit. The clone's last state is thus not mistaken for that of the remote.
    dvc.lock does not count as a change, since DVC writes it whenever a stage runs.

    Raises:
        GitError: git is not usable here: not installed, no repository, or git refuses it.
        ConfigError: there is no such revision, here or on the remote; or tracked files differ from
            the commit and this is not to be ignored.
        TemporaryError: the remote cannot be fetched from.
    """
    branch = _remote_branch(home, revision)
    if branch is not None:
        _fetch_branch(home, branch, revision)
    elif _HASH.fullmatch(revision) and _commit(home, revision) is None:
        _fetch_all(home, revision)
    commit = _commit(home, revision)
    if commit is None:
        raise ConfigError(
            f"{home.root}: git has no revision {revision!r}. Fetch it, or name another."
        )
    if not ignore_uncommitted:
        _refuse_uncommitted(home)
    return commit


def described(home: Project, commit: str) -> str:
    """Describe a commit for messages: hash, commit time and age.

    Raises:
        GitError: there is no such commit, or git is not usable here.
    """
    seconds = int(git(home, "show", "--no-patch", "--format=%ct", commit))
    when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    age = datetime.datetime.now(datetime.UTC) - when
    ago = f"{age.days} days" if age.days else f"{max(0, age.seconds) // 3600} hours"
    return f"{commit[:_SHOWN_DIGITS]} of {when:%Y-%m-%d %H:%M} UTC, {ago} ago"


def fetch_branches(home: Project, prefix: str) -> str | None:
    """Fetch the branches PREFIX/* of the remote for results, if there is one.

    Returns:
        Error message if the fetch failed, so that the branches may be outdated; else None.

    Raises:
        GitError: git is not usable here.
    """
    remote = git_remote(home)
    if remote is None:
        return None
    refspec = f"+refs/heads/{prefix}/*:{_TRACKING}{remote}/{prefix}/*"
    try:
        git(home, *_FETCH, remote, refspec)
    except GitError as error:
        if error.unusable:
            raise
        return str(error)
    return None


def _commit(home: Project, revision: str) -> str | None:
    """Return the local commit of a revision; None if there is none.

    Raises:
        GitError: git is not usable here.
    """
    try:
        return git(home, "rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}").strip()
    except GitError as error:
        if error.unusable:
            raise
        return None


def _remote_branch(home: Project, revision: str) -> _RemoteBranch | None:
    """Return the remote branch that a revision starts from; None if it is local.

    Raises:
        ConfigError: the revision is remote-tracking, but its remote is not configured.
        GitError: git is not usable here.
    """
    name = _SUFFIX.split(revision, maxsplit=1)[0]
    remotes = git(home, "remote").split()
    tracking = _full_name(home, name) or _full_name(home, name.partition("@{")[0])
    if tracking is None:
        # A branch that is new on the remote and has not been fetched yet.
        short = name.removeprefix("refs/").removeprefix("remotes/")
        if not any(short.startswith(f"{remote}/") for remote in remotes):
            return None
        tracking = f"{_TRACKING}{short}"
    if not tracking.startswith(_TRACKING):
        return None
    fetched = _fetched_to(home, tracking)
    if fetched is not None:
        return fetched
    for remote in sorted(remotes, key=len, reverse=True):
        branch = tracking.removeprefix(f"{_TRACKING}{remote}/")
        if branch != tracking:
            return _RemoteBranch(remote, f"refs/heads/{branch}", tracking)
    raise ConfigError(
        f"{home.root}: {revision} is of a remote that git does not have any more, so its age "
        "is unknown. Run `git remote add`, or name a commit by its hash."
    )


def _full_name(home: Project, name: str) -> str | None:
    """Return the full ref of a name, such as refs/remotes/origin/main; None if it is not a ref."""
    try:
        names = git(home, "rev-parse", "--quiet", "--symbolic-full-name", name, "--").split()
    except GitError as error:
        if error.unusable:
            raise
        return None
    return names[0] if names and names[0].startswith("refs/") else None


def _fetched_to(home: Project, tracking: str) -> _RemoteBranch | None:
    """Return the branch that `git fetch` would write to a ref, from the configured refspecs."""
    candidates: list[tuple[int, _RemoteBranch]] = []
    for entry in git(home, "config", "--null", "--list").split("\0"):
        key, _, refspec = entry.partition("\n")
        source, colon, target = refspec.removeprefix("+").partition(":")
        if not (key.startswith("remote.") and key.endswith(".fetch") and colon):
            continue
        before, star, after = target.partition("*")
        if tracking == target or (
            star and tracking.startswith(before) and tracking.endswith(after)
        ):
            middle = tracking[len(before) : len(tracking) - len(after)]
            remote = key.removeprefix("remote.").removesuffix(".fetch")
            branch = _RemoteBranch(remote, source.replace("*", middle), tracking)
            candidates.append((len(before), branch))
    # The most specific refspec: origin/fork/main is main of origin/fork rather than fork/main of
    # origin.
    return max(candidates, key=lambda pair: pair[0])[1] if candidates else None


def _fetch_branch(home: Project, branch: _RemoteBranch, revision: str) -> None:
    """Update the remote-tracking ref of a branch.

    Raises:
        ConfigError: the remote has no such branch.
        TemporaryError: the remote cannot be fetched from; the message gives the age of the last
            known commit.
    """
    try:
        git(home, *_FETCH, branch.remote, f"+{branch.source}:{branch.tracking}")
    except GitError as error:
        known = _commit(home, revision)
        last = "It was never fetched." if known is None else (
            f"This clone last saw {described(home, known)}; to train that commit anyway, "
            f"give revision={known[:_SHOWN_DIGITS]}."
        )  # fmt: skip
        try:
            there = git(home, "ls-remote", branch.remote, branch.source)
        except GitError:
            there = None
        if there == "":
            raise ConfigError(
                f"{home.root}: {revision}: {branch.remote} has no {branch.source}. {last}"
            ) from None
        raise TemporaryError(
            f"{home.root}: {revision} cannot be fetched, so it may be old: {error}. {last}"
        ) from None


def _fetch_all(home: Project, revision: str) -> None:
    """Fetch from the remote for results, if there is one, to get a missing commit.

    Raises:
        TemporaryError: the fetch failed.
    """
    remote = git_remote(home)
    if remote is None:
        return
    try:
        git(home, *_FETCH, remote)
    except GitError as error:
        raise TemporaryError(
            f"{home.root}: commit {revision} is not here and cannot be fetched: {error}"
        ) from None


def _refuse_uncommitted(home: Project) -> None:
    listed = git(home, "status", "--porcelain", "--untracked-files=no", ":/", ":!dvc.lock")
    changed = [line[3:] for line in listed.splitlines()]
    if changed:
        shown = ", ".join(changed[:_SHOWN_FILES])
        more = f" and {len(changed) - _SHOWN_FILES} more" if len(changed) > _SHOWN_FILES else ""
        raise ConfigError(
            f"{home.root}: changes that are not committed would not be trained: {shown}{more}. "
            "Commit them, or set ignore_uncommitted to train what is committed."
        )
