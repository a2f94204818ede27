"""A table of locks that a kill left empty stops no `dvc repro` for good."""

import os
import signal
import subprocess
import sys
import time

import pytest

from genmint.common.dvc_rwlock import damaged_rwlock, holds_lock, repair_rwlock
from genmint.common.errors import GenmintError
from genmint.common.programs import run_dvc
from genmint.common.project import Project
from genmint.diagnostics import doctor

DVC = [sys.executable, "-m", "dvc"]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "params.yaml").touch()
    (tmp_path / "dvc.yaml").write_text("stages:\n  a:\n    cmd: echo 1 > a\n    outs: [a]\n")
    subprocess.run([*DVC, "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    return Project(tmp_path)


def damage(project, content=b""):
    path = project.root / ".dvc" / "tmp" / "rwlock"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("content", [b"", b"{", b'{"read": ', b"[1]", b"\0\0\0"])
def test_what_dvc_cannot_read_is_removed_and_dvc_works(project, content):
    path = damage(project, content)
    failed = subprocess.run([*DVC, "repro"], cwd=project.root, capture_output=True, text=True)
    assert failed.returncode != 0
    assert "rwlock" in failed.stderr.lower()
    assert damaged_rwlock(project) == path
    said = repair_rwlock(project)
    assert said == f"{path}: damaged by a killed process; removed, since no DVC is running here"
    subprocess.run([*DVC, "repro", "-q"], cwd=project.root, check=True)
    assert repair_rwlock(project) is None


def test_what_dvc_wrote_stays(project):
    subprocess.run([*DVC, "repro", "-q"], cwd=project.root, check=True)
    path = project.root / ".dvc" / "tmp" / "rwlock"
    before = path.read_bytes()
    assert repair_rwlock(project) is None
    assert path.read_bytes() == before


def test_without_a_table_nobody_holds_and_a_damaged_one_says_nothing(project):
    assert not holds_lock(project, os.getpid())
    damage(project)
    assert holds_lock(project, os.getpid())


def test_while_a_dvc_runs_it_holds_its_locks_and_the_table_is_left(project):
    (project.root / "dvc.yaml").write_text(
        "stages:\n  a:\n    cmd: touch b; sleep 60\n    outs: [a]\n"
    )
    running = subprocess.Popen([*DVC, "repro", "-q"], cwd=project.root, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not (project.root / "b").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert holds_lock(project, running.pid)
        assert not holds_lock(project, os.getpid())
        path = damage(project)
        assert f"DVC process {running.pid} is running here" in repair_rwlock(project)
        assert path.exists()
        mark, text = doctor.check(project, "dvc locks")
        assert (mark, str(running.pid) in text) == ("failed", True)
        with pytest.raises(GenmintError, match="RWLock-file"):
            run_dvc(project, "status")
        assert path.exists()
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    mark, text = doctor.check(project, "dvc locks")
    assert (mark, "removed" in text) == ("!", True)
    assert doctor.check(project, "dvc locks")[0] == "ok"


def test_our_own_calls_of_dvc_repair_it(project):
    path = damage(project)
    run_dvc(project, "status")
    assert not path.exists() or damaged_rwlock(project) is None
