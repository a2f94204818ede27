"""Started by a real hook of git, a flow leaves the user's branch and index alone."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import genmint

# What `retrain` does in the repository, without Prefect.
FLOW = """\
from pathlib import Path
from genmint.flow.checkout import checked_out, override
from genmint.flow.publish import publish
from genmint.flow.revision import resolve_revision
from genmint.flow.stage import ProcessGroup, reproduce
from genmint.common.project import Project
home = Project(Path({home!r}))
commit = resolve_revision(home, "HEAD", ignore_uncommitted=False)
with checked_out(home, commit, "run") as checkout:
    override(checkout, {{"models.a.steps": 20}})
    reproduce(checkout, ["ingest@d"], process_group=ProcessGroup(), say=print)
    print(publish(home, checkout, commit, "run", "retrain", models=[]))
"""
WHO = {
    f"GIT_{who}_{what}": "user@example.org"
    for who in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}


class Hook:
    """A hook that runs the flow; what its stage had in the environment is kept."""

    def __init__(self, repository, tmp_path, name):
        self.log, self.seen = tmp_path / "log", tmp_path / "environment"
        code = repository.root / "dvc.yaml"
        stage = code.read_text().replace(
            "cmd: mkdir -p data/raw", f"cmd: env > {self.seen} && mkdir -p data/raw"
        )
        code.write_text(stage)
        repository.commit("a stage that tells its environment")
        script = tmp_path / "flow.py"
        script.write_text(FLOW.format(home=str(repository.root)))
        hook = repository.root / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\nexec {sys.executable} {script} > {self.log} 2>&1\n")
        hook.chmod(0o755)

    def variables(self):
        """Names of git's variables that the stage saw."""
        return set(re.findall(r"^(GIT_\w+)=", self.seen.read_text(), re.MULTILINE))


def run(folder, *command):
    source = str(Path(genmint.__file__).parents[1])
    env = {**os.environ, **WHO, "PYTHONPATH": source}
    done = subprocess.run(["git", *command], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


TIED = subprocess.run(
    ["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=True
).stdout.split()


@pytest.mark.parametrize(
    "options",
    [(), ("--git-dir=.git", "--work-tree=.", "--literal-pathspecs", "-c", "core.autocrlf=true")],
    ids=["plain", "told where"],
)
def test_post_commit(repository, tmp_path, options):
    hook = Hook(repository, tmp_path, "post-commit")
    (repository.root / "notes.txt").write_text("the user's\n")
    repository.git("add", "notes.txt")
    (repository.root / "untracked.txt").write_text("the user's")
    run(repository.root, *options, "commit", "-qm", "the user's", "--date=2001-02-03T04:05:06Z")
    assert "Published(" in hook.log.read_text(), hook.log.read_text()
    assert repository.git("log", "--format=%s", "-1") == "the user's"
    assert repository.git("status", "--porcelain") == "?? untracked.txt"
    assert not hook.variables() & set(TIED)
    (branch,) = repository.git("branch", "--list", "retrain/*").split()
    assert repository.git("rev-parse", f"{branch}~1") == repository.git("rev-parse", "HEAD")
    # It is a commit of now, not of the user's.
    assert not repository.git("log", "--format=%ad", "-1", branch).startswith("Sat Feb 3")
    assert repository.git("worktree", "list").count("\n") == 0


def test_post_commit_of_a_linked_worktree(repository, tmp_path):
    """git names the folder of this worktree, which is not the one that the flow works for."""
    hook = Hook(repository, tmp_path, "post-commit")
    before = repository.fingerprint()
    linked = tmp_path / "linked"
    repository.git("worktree", "add", "-q", "-b", "topic", str(linked))
    (linked / "notes.txt").write_text("the user's\n")
    run(linked, "add", "notes.txt")
    run(linked, "commit", "-qm", "the user's")
    assert "Published(" in hook.log.read_text(), hook.log.read_text()
    assert repository.git("log", "--format=%s", "-1", "topic") == "the user's"
    topic = [line for line in repository.fingerprint()["branches"] if "topic" in line]
    after = repository.fingerprint()
    after["branches"] = [line for line in after["branches"] if line not in topic]
    assert after == before
    assert repository.git("-C", str(linked), "status", "--porcelain") == ""


def test_pre_receive(repository, tmp_path):
    """Until a push is accepted, git has it in a quarantine in which no ref may move."""
    hook = Hook(repository, tmp_path, "pre-receive")
    clone = repository.clone(tmp_path / "clone")
    before = repository.fingerprint()
    run(clone.root, "push", "-q", "origin", "HEAD:refs/heads/topic")
    assert "Published(" in hook.log.read_text(), hook.log.read_text()
    (branch,) = repository.git("branch", "--list", "retrain/*").split()
    assert repository.git("fsck", "--connectivity-only") == ""
    assert repository.git("log", "--format=%s", "-1", branch) == "retrain"
    after = repository.fingerprint()
    after["branches"] = [line for line in after["branches"] if "topic" not in line]
    assert after == before
