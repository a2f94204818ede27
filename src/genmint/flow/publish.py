"""Publication of a flow's results on a separate branch.

No other branch, index or working tree is changed.
"""

from __future__ import annotations

import datetime
import re
import shutil
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genmint.common.dvc_config import has_remote
from genmint.common.dvc_lock import Entries, parse_lock, read_lock
from genmint.common.errors import GenmintError, TemporaryError
from genmint.common.files import write_text
from genmint.common.layout import PARAMS
from genmint.common.programs import file_at, git
from genmint.common.project import Project
from genmint.flow.checkout import git_remote
from genmint.flow.differences import same_inputs, same_results
from genmint.flow.transfer import give_back

PREFIX = "retrain"
# Separate from metrics/ and reports/, which are stage outputs: DVC refuses to run a stage whose
# outputs git tracks.
RESULTS = "results"

_AUTHOR = ("-c", "user.name=genmint", "-c", "user.email=genmint@localhost")
_LOCK_SECONDS = 10.0
# Each comparison reads a dvc.lock; older branches have other results, or were merged long ago.
_COMPARED_BRANCHES = 30
_committing = threading.Lock()


@dataclass(frozen=True)
class Published:
    """Location of published results.

    Attributes:
        branch: branch name; that of an earlier flow if its results are identical.
        commit: commit of the branch.
        pushed: remote that the branch was pushed to; None if there is none.
        new: whether this flow created the branch.
    """

    branch: str
    commit: str
    pushed: str | None
    new: bool


def record(checkout: Project, message: str, *, with_stages: Iterable[str] = ()) -> str:
    """Commit params.yaml, dvc.lock, pointers and results in the checkout; return the commit.

    The checkout's HEAD is detached, so no branch moves. Without changes there is no new commit.

    Args:
        checkout: checkout of a flow.
        message: commit message.
        with_stages: stages that dvc.lock must contain; the call waits for them, since DVC writes
            the file in place while other stages run.

    Raises:
        GenmintError: dvc.lock lacks a stage, or git fails.
    """
    with _committing:
        _add_lock(checkout, frozenset(with_stages))
        paths = [path for path in (PARAMS, RESULTS) if (checkout.root / path).exists()]
        git(checkout, "add", "--force", "--", *paths)
        # Pointers of added data, and the .gitignore files that DVC wrote for them.
        git(checkout, "add", "--", ".", ":(exclude)dvc.lock")
        if git(checkout, "status", "--porcelain", "--untracked-files=no"):
            git(checkout, *_author(checkout), "commit", "--quiet", "--no-verify", "-m", message)
        return git(checkout, "rev-parse", "HEAD").strip()


def gather_results(checkout: Project, models: Sequence[str]) -> None:
    """Copy metrics and gate record of each model to results/NAME, which git may track."""
    for name in models:
        folder = checkout.root / RESULTS / name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(checkout.metrics(name), folder / "metrics.json")
        shutil.copyfile(checkout.gate_record(name), folder / "gate.json")


def publish(
    home: Project,
    checkout: Project,
    base: str,
    identity: str,
    message: str,
    *,
    models: Sequence[str],
) -> Published | None:
    """Commit the checkout's results to a branch retrain/DATE-ID, and push it if there is a remote.

    If DVC has a remote as well, all inputs and outputs of the models are pushed there first, so
    that `dvc pull` works for users of the branch.

    Args:
        home: project whose repository gets the branch.
        checkout: checkout with the results.
        base: commit that the checkout was made from.
        identity: id of the flow run, for the branch name.
        message: commit message.
        models: models that were processed up to the gate.

    Returns:
        The location of the results; None if `base`, or dvc.lock of `home`, has them already.
        Measured times and memory use do not count (`genmint.flow.differences`).

    Raises:
        TemporaryError: the push failed; the local branch exists and can be pushed by hand.
        GenmintError: git fails.
    """
    _put_in_order(checkout, base)
    commit = record(checkout, message)
    entries = read_lock(checkout.lock)
    if same_inputs(checkout, base, commit, RESULTS):
        known_here = (_lock_at(checkout, base), _lock_of(home))
        if same_results(checkout, entries, *known_here):
            return None
    known = _branch_with(home, checkout, commit, entries)
    if known is not None:
        branch, commit = known
    else:
        branch = _free_name(home, identity)
        # With an empty old value, an existing branch of this name is an error and is not
        # overwritten.
        git(home, "update-ref", f"refs/heads/{branch}", commit, "")
    if models and git_remote(home) is not None and has_remote(checkout.root):
        give_back(checkout, [f"gate@{name}" for name in models], upstream=True)
    return Published(branch, commit, push(home, branch), new=known is None)


def push(home: Project, branch: str) -> str | None:
    """Push a branch to the remote (origin, or the only one); return the remote, None without one.

    Raises:
        TemporaryError: the remote did not accept it.
    """
    remote = git_remote(home)
    if remote is not None:
        try:
            git(home, "push", "--quiet", "--no-verify", remote, f"refs/heads/{branch}")
        except GenmintError as error:
            raise TemporaryError(
                f"{error}. The branch {branch} is here: `git push {remote} {branch}`"
            ) from None
    return remote


def _author(checkout: Project) -> tuple[str, ...]:
    """Return git options for the author: none if git has a user, else genmint."""
    try:
        git(checkout, "var", "GIT_AUTHOR_IDENT")
        git(checkout, "var", "GIT_COMMITTER_IDENT")
    except GenmintError:
        return _AUTHOR
    return ()


def _add_lock(checkout: Project, stages: frozenset[str]) -> None:
    """Stage a complete dvc.lock; DVC writes it in place while other stages run."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while checkout.lock.exists() or stages:
        try:
            git(checkout, "add", "--force", "--", checkout.lock.name)
            text = git(checkout, "show", f":./{checkout.lock.name}")
            missing = stages - parse_lock(text, str(checkout.lock)).keys()
            problem = f"{checkout.lock}: lacks {', '.join(sorted(missing))}"
        except GenmintError as error:
            missing, problem = stages, str(error)
        else:
            if not missing:
                return
        if time.monotonic() > deadline:
            raise GenmintError(problem)
        time.sleep(0.05)


def _put_in_order(checkout: Project, base: str) -> None:
    """Sort new stages of dvc.lock by name, after the existing stages in their order.

    DVC appends stages as they finish, so equal results would otherwise differ between nightly runs.
    """
    if not checkout.lock.exists():
        return
    head, *blocks = re.split(r"^(?=  \S)", checkout.lock.read_text("utf-8"), flags=re.MULTILINE)
    before = list(_lock_at(checkout, base))
    place = {name: number for number, name in enumerate(before)}

    def rank(block: str) -> tuple[int, str]:
        name = block.partition(":\n")[0].strip()
        return place.get(name, len(place)), name

    write_text(checkout.lock, head + "".join(sorted(blocks, key=rank)))


def uncommitted_lock(home: Project) -> bool:
    """Return whether dvc.lock of a working tree differs from its commit."""
    return bool(git(home, "status", "--porcelain", "--", home.lock.name))


def _lock_at(checkout: Project, commit: str) -> Entries:
    text = file_at(checkout, commit, checkout.lock.name)
    return {} if text is None else parse_lock(text, f"{commit[:12]}:{checkout.lock.name}")


def _lock_of(home: Project) -> Entries:
    """Results that a person has not committed yet; none if the file is damaged or half written."""
    try:
        return read_lock(home.lock)
    except GenmintError:
        return {}


def _branch_with(
    home: Project, checkout: Project, commit: str, entries: Entries
) -> tuple[str, str] | None:
    """Return the branch of an earlier flow with the same results, and its commit."""
    listed = git(
        home, "for-each-ref", "--sort=-committerdate", f"--count={_COMPARED_BRANCHES}",
        "--format=%(objectname) %(refname:lstrip=2)", f"refs/heads/{PREFIX}",
    )  # fmt: skip
    for line in listed.splitlines():
        known, branch = line.split(" ", 1)
        if same_inputs(checkout, known, commit, RESULTS) and same_results(
            checkout, entries, _lock_at(checkout, known)
        ):
            return branch, known
    return None


def _free_name(home: Project, identity: str) -> str:
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    wanted = f"{PREFIX}/{date}-{identity}"
    taken = set(git(home, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads").split())
    names = (wanted, *(f"{wanted}-{number}" for number in range(2, 1000)))
    return next(name for name in names if name not in taken)
