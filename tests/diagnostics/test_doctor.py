"""What doctor says of an installation."""

import http.server
import json
import os
import socket
import subprocess
import sysconfig
import threading

import pytest

from genmint.common.errors import GenmintError
from genmint.common.programs import git, run_dvc
from genmint.common.project import Project
from genmint.diagnostics import doctor


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("GENMINT_HOME", "MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "project"
    root.mkdir()
    (root / "params.yaml").write_text("{}\n")
    (root / "dvc.yaml").write_text("stages: {}\n")
    return Project(root)


def said(project, check):
    return doctor.check(project, check)


def init(root):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=root, check=True)


def test_git_is_asked_and_not_only_found(project, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.root.parent))
    mark, text = said(project, "git")
    assert (mark, "not a git repository" in text) == ("failed", True)
    init(project.root)
    assert said(project, "git")[0] == "ok"
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    mark, text = said(project, "git")
    assert mark == "failed"
    assert "dubious ownership" in text
    assert "safe.directory" in text
    monkeypatch.setenv("PATH", os.devnull)
    mark, text = said(project, "git")
    assert mark == "failed"
    assert text.startswith("not found on PATH; install git: DVC, lineage and flows need it")


def test_line_ends_of_an_older_clone_are_named_and_the_advice_restores_them(project):
    """A clone with core.autocrlf from before .gitattributes; git itself sees no change."""
    (project.root / ".gitattributes").write_text("* text=auto eol=lf\n")
    init(project.root)
    assert said(project, "line ends") == ("ok", "line ends are those of the commit")
    committed = project.params.read_bytes()
    project.params.write_bytes(committed.replace(b"\n", b"\r\n"))
    subprocess.run(["git", "add", "--renormalize", "."], cwd=project.root, check=True)
    assert git(project, "status", "--porcelain") == ""
    mark, text = said(project, "line ends")
    assert (mark, "params.yaml" in text) == ("!", True)
    advice = text.rpartition(" `")[2].removesuffix("`")
    subprocess.run(advice, cwd=project.root, shell=True, check=True)  # noqa: S602
    assert project.params.read_bytes() == committed
    assert said(project, "line ends")[0] == "ok"


def test_without_git_the_advice_lets_stages_run(project, tmp_path, monkeypatch):
    """As in a ZIP download: DVC refuses, does what doctor says, and runs."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    root = project.root
    (root / "dvc.yaml").write_text("stages: {a: {cmd: echo 1 > x, outs: [x]}}\n")
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    with pytest.raises(GenmintError, match="is not a git repository"):
        run_dvc(project, "repro")
    mark, text = said(project, "git")
    assert mark == "failed"
    advice = text.partition("`dvc ")[2].partition("`")[0]
    run_dvc(project, *advice.split())
    run_dvc(project, "repro")
    assert (root / "x").read_text() == "1\n"
    mark, text = said(project, "git")
    assert (mark, "stages run; flows" in text) == ("!", True)


def test_the_folder_with_the_registry_is_named(project, tmp_path, monkeypatch):
    init(project.root)
    git = ["git", "-C", str(project.root), "worktree", "add", "-q", str(tmp_path / "other")]
    subprocess.run(git, check=True)
    other = Project(tmp_path / "other")
    assert said(other, "home") == ("ok", f"{project.root} keeps registry and checkpoints")
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(project.root), str(bare)], check=True)
    git = ["git", "-C", str(bare), "worktree", "add", "-q", str(tmp_path / "third")]
    subprocess.run(git, check=True)
    mark, text = said(Project(tmp_path / "third"), "home")
    assert (mark, "Set GENMINT_HOME to the one of" in text) == ("!", True)
    monkeypatch.setenv("GENMINT_HOME", str(tmp_path / "third"))
    assert said(Project(tmp_path / "third"), "home")[0] == "ok"


def test_a_prefect_server_that_does_not_answer_is_named(project, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}/api"
    monkeypatch.setenv("PREFECT_API_URL", address)
    mark, text = said(project, "prefect")
    assert mark == "failed"
    assert text.startswith(
        f"{address}: Prefect's server does not answer ([Errno 111] Connection refused). Start"
    )
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.handle_request, daemon=True).start()
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
    mark, text = said(project, "prefect")
    server.server_close()
    assert (mark, "is not a Prefect API (HTTP 404)" in text) == ("failed", True)


def test_a_moved_or_foreign_environment_is_noticed(project):
    mark, text = said(project, "code")
    assert mark == "ok"
    source = project.root / "src" / "genmint"
    source.mkdir(parents=True)
    (source / "__init__.py").touch()
    mark, text = said(project, "code")
    assert (mark, "runs here, not that of" in text) == ("!", True)


def test_pointers_in_the_place_of_items_are_named(project):
    folder = project.root / "data" / "own" / "texts"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12\n"
    )
    project.params.write_text(
        "datasets: {texts: {path: data/own/texts, kind: text}}\nmodels: {}\ngates: {}\n"
    )
    assert said(project, "data") == (
        "failed",
        f"datasets.texts.path: {folder}: 1 text files are not here, only pointers of Git LFS to "
        f"them; the first is a.txt. Run `git lfs pull` in {folder}.",
    )


def test_a_pipe_in_a_folder_of_data_is_named_before_dvc_waits_for_it(project):
    folder = project.root / "data" / "own" / "texts"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("words")
    project.params.write_text(
        "datasets: {texts: {path: data/own/texts, kind: text}}\nmodels: {}\ngates: {}\n"
    )
    assert said(project, "data") == ("ok", "every path can be read")
    os.mkfifo(folder / "control")
    mark, text = said(project, "data")
    assert mark == "!"
    assert text == (
        "`dvc repro` stops, or waits for ever, at files that .dvcignore does not list: "
        "datasets.texts.path: data/own/texts/control: named pipe (FIFO), not a regular file: DVC "
        "waits for it forever; remove it, or move it out of the folder"
    )
    (folder / "control").unlink()
    assert said(project, "data")[0] == "ok"


def test_a_package_that_hides_a_module_of_python_is_named_with_the_way_to_remove_it(
    project, tmp_path, monkeypatch
):
    site = tmp_path / "site"
    info = site / "dataclasses-0.6.dist-info"
    info.mkdir(parents=True)
    monkeypatch.setattr(sysconfig, "get_path", lambda kind: str(site))
    # None of these is imported in the place of a module of Python's.
    for harmless in ("secrets", "numpy", "json.txt"):
        (site / harmless).mkdir()
    assert said(project, "standard library")[0] == "ok"
    (site / "dataclasses.py").touch()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dataclasses\nVersion: 0.6\n")
    (info / "RECORD").write_text("dataclasses.py,,\ndataclasses-0.6.dist-info/METADATA,,\n")
    mark, text = said(project, "standard library")
    assert mark == "failed"
    assert text.startswith(
        f"{site / 'dataclasses.py'} hides Python's own module: "
        "`python -m pip uninstall dataclasses` removes it. "
    )
    (site / "dataclasses.py").unlink()
    (project.root / "random").mkdir()
    (project.root / "random" / "__init__.py").touch()
    mark, text = said(project, "standard library")
    hidden = project.root / "random"
    assert mark == "failed"
    assert text.startswith(f"{hidden} hides Python's own module: rename or remove it. ")


def test_this_environment_hides_no_module_of_python(project):
    assert said(project, "standard library")[0] == "ok"


def test_a_dvcignore_in_a_folder_of_data_is_named_before_dvc_stops_at_it(project):
    """A submodule that is a repository of DVC's own has one."""
    folder = project.root / "data" / "own" / "texts"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("words")
    (folder / ".dvcignore").touch()
    project.params.write_text(
        "datasets: {texts: {path: data/own/texts, kind: text}}\nmodels: {}\ngates: {}\n"
    )
    mark, text = said(project, "data")
    assert mark == "!"
    assert "data/own/texts/.dvcignore: DVC allows none in a folder that a stage" in text


def test_the_checks_are_printed_as_json(project, monkeypatch, capsys):
    checks = {"one": lambda _: ("ok", "fine"), "two": lambda _: ("failed", "why [not]")}
    monkeypatch.setattr(doctor, "_checks", lambda: checks)
    assert doctor.doctor(project, as_json=True) == 1
    assert json.loads(capsys.readouterr().out) == [
        {"check": "one", "result": "ok", "text": "fine"},
        {"check": "two", "result": "failed", "text": "why [not]"},
    ]
