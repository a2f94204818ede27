"""git and DVC fail in their own words."""

import ast
import shutil
import subprocess
from pathlib import Path

import pytest

from genmint import tracking
from genmint.common.errors import GenmintError
from genmint.common.programs import GitError, clean_environment, file_at, git, git_problem, run_dvc
from genmint.common.project import Project
from genmint.flow.committed import object_at, params_at, text_at
from genmint.flow.revision import resolve_revision
from genmint.lineage.commit_search import recorded_in

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("GIT_DIR", "DVC_ROOT", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "project"
    root.mkdir()
    (root / "params.yaml").write_text("{}\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    return Project(root)


def init(root):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=root, check=True)


def dubious(root, monkeypatch):
    """Another user's repository, by the switch that git's own tests use."""
    init(root)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    return "dubious ownership.*safe.directory"


def zip_download(root, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(root.parent))
    return r"not a git repository.*Clone the repository, or run `git init`"


def no_program(root, monkeypatch):
    init(root)
    monkeypatch.setenv("PATH", str(root))
    return "git: not found on PATH. Install it"


def damaged(root, monkeypatch):
    init(root)
    (root / ".git" / "config").write_text("[core\n")
    return "bad config"


CASES = [dubious, zip_download, no_program, damaged]


@pytest.mark.parametrize("case", CASES)
def test_the_reason_is_gits_own(case, project, monkeypatch):
    words = case(project.root, monkeypatch)
    with pytest.raises(GitError, match=words) as caught:
        git(project, "rev-parse", "HEAD")
    assert caught.value.unusable
    assert "\n" not in str(caught.value)
    assert git_problem(project) == str(caught.value)


@pytest.mark.parametrize("case", CASES)
def test_it_comes_through_wherever_git_is_asked(case, project, monkeypatch):
    words = case(project.root, monkeypatch)
    for ask in (
        lambda: resolve_revision(project, "HEAD", ignore_uncommitted=False),
        lambda: object_at(project, "HEAD", "params.yaml"),
        lambda: params_at(project, "HEAD"),
        lambda: file_at(project, "HEAD", "dvc.lock"),
    ):
        with pytest.raises(GitError, match=words):
            ask()
    tags = tracking.git_state(project)
    if case is zip_download:  # outside of git there is nothing to be known
        assert tags == {}
        assert recorded_in(project, {}) is None
    else:
        assert list(tags) == ["genmint.git_problem"]
        with pytest.raises(GitError, match=words):
            recorded_in(project, {})


def test_what_a_commit_lacks_is_no_failure_of_git(project):
    init(project.root)
    assert file_at(project, "HEAD", "params.yaml") == "{}\n"
    assert file_at(project, "HEAD", "dvc.lock") is None
    assert object_at(project, "HEAD", "params.yaml")
    assert object_at(project, "HEAD", "dvc.lock") is None
    with pytest.raises(GitError, match="Not a valid object name nowhere") as caught:
        file_at(project, "nowhere", "dvc.lock")
    assert not caught.value.unusable
    with pytest.raises(GenmintError, match=r"has no config/expectations/image\.yaml"):
        text_at(project, "HEAD", "config/expectations/image.yaml")


def test_below_the_top_of_a_repository(project):
    inner = project.root / "inner"
    inner.mkdir()
    shutil.copy(project.params, inner)
    (inner / "dvc.lock").write_text("inner\n")
    init(project.root)
    assert file_at(Project(inner), "HEAD", "dvc.lock") == "inner\n"
    assert file_at(project, "HEAD", "dvc.lock") is None


def local_variables():
    listed = subprocess.run(
        ["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=True
    )
    return set(listed.stdout.split())


def test_children_get_nothing_that_ties_git_to_another_repository(monkeypatch):
    tied = local_variables() - {"GIT_CONFIG_COUNT"}
    assert {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"} <= tied
    others = {"GIT_QUARANTINE_PATH", "GIT_LITERAL_PATHSPECS", "GIT_AUTHOR_DATE", "DVC_ROOT"}
    for name in tied | others:
        monkeypatch.setenv(name, "of another")
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -i key")
    left = clean_environment()
    assert not left.keys() & (tied | others)
    assert left["GIT_SSH_COMMAND"] == "ssh -i key"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GIT_DIR", ".git"),
        ("GIT_INDEX_FILE", ".git/index"),
        ("GIT_OBJECT_DIRECTORY", ".git/objects"),
        ("GIT_NAMESPACE", "other"),
        ("GIT_LITERAL_PATHSPECS", "1"),
        ("GIT_CONFIG_PARAMETERS", "'core.abbrev'='nonsense'"),
    ],
)
def test_a_hook_of_another_repository_changes_nothing(project, tmp_path, monkeypatch, name, value):
    init(project.root)
    ask = ("log", "--format=%H", "--", ":!dvc.lock")
    expected = git(project, *ask)
    other = tmp_path / "other"
    other.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=other, check=True)
    monkeypatch.setenv(name, str(other / value) if value.startswith(".git") else value)
    assert git(project, *ask) == expected


def test_one_module_runs_git_and_nothing_prunes_worktrees():
    """What runs git elsewhere would need the clean environment a second time."""
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "pipelines").glob("*.py")]
    assert len(sources) > 200
    runs, words = set(), set()
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.List | ast.Tuple) and node.elts:
                first = node.elts[0]
                if isinstance(first, ast.Constant) and first.value == "git":
                    runs.add(path.name)
            if isinstance(node, ast.Constant):
                words.add(node.value)
    assert runs == {"programs.py"}
    assert "worktree" in words
    assert "prune" not in words


def test_settings_that_a_container_gives_every_git_stay(project, monkeypatch):
    """Such as safe.directory, without which git refuses a mounted repository."""
    dubious(project.root, monkeypatch)
    with pytest.raises(GitError, match="dubious ownership"):
        git(project, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "*")
    assert git(project, "rev-parse", "HEAD")


def test_dvc_fails_in_its_own_words(project):
    with pytest.raises(GenmintError, match=r"`dvc checkout` failed in .*not inside of a DVC"):
        run_dvc(project, "checkout")
