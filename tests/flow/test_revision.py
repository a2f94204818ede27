"""What a remote has is asked of the remote; an old commit is never taken for the present one."""

import pytest

from genmint.common.errors import ConfigError, TemporaryError
from genmint.flow.revision import described, resolve_revision


@pytest.fixture
def clone(repository, tmp_path):
    """A clone as a worker has it; the repository goes on without it."""
    made = repository.clone(tmp_path / "worker")
    (repository.root / "new.txt").write_text("new")
    repository.commit("pushed after the clone was made")
    return made


def found(clone, revision):
    return resolve_revision(clone.project, revision, ignore_uncommitted=False)


@pytest.mark.parametrize(
    "revision",
    [
        *("origin/main", "origin", "remotes/origin/main", "refs/remotes/origin/main"),
        *("@{upstream}", "main@{u}", "origin/main^{commit}", "origin/main@{0}"),
    ],
)
def test_a_branch_of_a_remote_is_fetched(repository, clone, revision):
    now = repository.git("rev-parse", "HEAD")
    before = clone.fingerprint()
    assert clone.git("rev-parse", "origin/main") != now
    assert found(clone, revision) == now
    assert clone.git("rev-parse", "origin/main") == now
    # Nothing of the user's moves but that ref, which is for this.
    after = clone.fingerprint()
    moved = [line for line in after.pop("branches") if line not in before["branches"]]
    assert {line.split()[0] for line in moved} <= {
        "refs/remotes/origin/main",
        "refs/remotes/origin/HEAD",
    }
    before.pop("branches")
    assert after == before
    assert not (clone.root / ".git" / "FETCH_HEAD").exists()


def test_what_comes_before_a_commit_of_a_remote(repository, clone):
    assert found(clone, "origin/main~1") == repository.git("rev-parse", "main~1")


def test_what_is_here_stays_what_it_is(repository, clone):
    own = clone.git("rev-parse", "HEAD")
    clone.git("tag", "v1")
    clone.git("remote", "set-url", "origin", str(clone.root / "nowhere"))
    for revision in ("HEAD", "main", "v1", own, own[:10], "@"):
        assert found(clone, revision) == own


def test_a_branch_that_is_new_at_the_remote(repository, clone):
    repository.git("branch", "team/next")
    assert found(clone, "origin/team/next") == repository.git("rev-parse", "HEAD")


def test_a_ref_that_only_a_refspec_of_the_users_fetches(repository, clone):
    repository.git("update-ref", "refs/pull/7/head", "HEAD")
    clone.git("config", "--add", "remote.origin.fetch", "+refs/pull/*/head:refs/remotes/pr/*")
    clone.git("update-ref", "refs/remotes/pr/7", "HEAD")
    assert found(clone, "pr/7") == repository.git("rev-parse", "HEAD")


def test_the_remote_with_the_longest_name_is_meant(repository, clone, tmp_path):
    other = repository.clone(tmp_path / "other")
    (other.root / "other.txt").write_text("other")
    commit = other.commit("of another remote")
    clone.git("remote", "add", "origin/fork", str(other.root))
    assert found(clone, "origin/fork/main") == commit


def test_a_commit_that_another_machine_fetched_is_fetched_by_its_hash(repository, clone):
    """`drift` on one worker asks for a retraining of a commit on another."""
    now = repository.git("rev-parse", "HEAD")
    assert found(clone, now) == now
    with pytest.raises(ConfigError, match="no revision '0123456"):
        found(clone, "0123456789" * 4)


def test_a_remote_that_does_not_answer_is_never_silently_old(repository, clone):
    old = clone.git("rev-parse", "HEAD")
    repository.root.rename(repository.root.with_name("away"))
    with pytest.raises(TemporaryError) as caught:
        found(clone, "origin/main")
    said = str(caught.value)
    assert "origin/main cannot be fetched, so it may be old" in said
    assert f"This clone last saw {described(clone.project, old)}" in said
    assert f"give revision={old[:12]}." in said
    assert "\n" not in said
    # What it says helps.
    assert found(clone, old[:12]) == old
    with pytest.raises(TemporaryError, match="is not here and cannot be fetched"):
        found(clone, "0123456789" * 4)
    with pytest.raises(TemporaryError, match="It was never fetched"):
        found(clone, "origin/new")


def test_a_branch_that_the_remote_deleted_is_no_revision(repository, clone):
    repository.git("branch", "gone")
    found(clone, "origin/gone")
    repository.git("branch", "-D", "gone")
    with pytest.raises(ConfigError, match=r"origin has no refs/heads/gone\. This clone last saw"):
        found(clone, "origin/gone")


def test_a_remote_that_was_removed_from_the_configuration(repository, clone):
    clone.git("config", "--remove-section", "remote.origin")
    with pytest.raises(ConfigError, match="a remote that git does not have any more"):
        found(clone, "origin/main")


def test_the_age_of_a_commit_is_told(repository, monkeypatch):
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2020-02-03T04:05:06+0000")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    repository.git(*identity, "commit", "-q", "--allow-empty", "-m", "old")
    commit = repository.git("rev-parse", "HEAD")
    said = described(repository.project, commit)
    assert said.startswith(f"{commit[:12]} of 2020-02-03 04:05 UTC, ")
    assert int(said.split(", ")[1].split()[0]) > 2000
