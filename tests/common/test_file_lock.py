"""Locks on a file system that has none: what flock would say there is said in all processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from genmint.common import file_lock
from genmint.common.errors import ConfigError, GenmintError, TemporaryError
from genmint.common.file_lock import attempted, has_locks, hold_lock, lock_folder, place_of
from genmint.common.files import atomic_dir, create_private, scratch_dir, write_text
from genmint.common.programs import run_dvc
from genmint.common.project import Project
from genmint.diagnostics import doctor
from genmint.flow.checkout import checked_out

NO_FLOCK = """\
import errno, fcntl, os
flock = fcntl.flock

def refused(file, operation):
    number = file if isinstance(file, int) else file.fileno()
    if os.readlink(f"/proc/self/fd/{number}").startswith(os.environ["WITHOUT_FLOCK"]):
        raise OSError(getattr(errno, os.environ["FLOCK_SAYS"]), "flock")
    return flock(file, operation)

fcntl.flock = refused
"""


@pytest.fixture
def share(tmp_path, monkeypatch, request):
    """A folder on a file system without flock, for this process and those that it starts."""
    share, site = tmp_path / "share", tmp_path / "site"
    for each in (share, site):
        each.mkdir()
    (site / "sitecustomize.py").write_text(NO_FLOCK)
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("WITHOUT_FLOCK", str(share))
    monkeypatch.setenv("FLOCK_SAYS", getattr(request, "param", "ENOLCK"))
    monkeypatch.setenv("GENMINT_LOCKS", str(tmp_path / "locks"))
    import fcntl

    monkeypatch.setattr(fcntl, "flock", fcntl.flock)
    exec(NO_FLOCK, {})  # noqa: S102 - what sitecustomize does in children
    file_lock.has_locks.cache_clear()
    file_lock._tell.cache_clear()
    yield share
    file_lock.has_locks.cache_clear()


HOLD = """\
import sys, time
from pathlib import Path
from genmint.common.file_lock import hold_lock
with hold_lock(Path(sys.argv[1]), "first", "the lock"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("share", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"], indirect=True)
def test_processes_of_one_machine_are_kept_apart_and_a_kill_frees_the_lock(share, capfd):
    lock = share / "a.lock"
    command = [sys.executable, "-c", HOLD, str(lock)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout.readline() == "held\n"
        with attempted(lock) as mine:
            assert not mine
        with pytest.raises(Timeout), FileLock(place_of(lock), timeout=0):
            pass
        # Of another name, or in another folder, it is another lock.
        with attempted(share / "b.lock") as mine:
            assert mine
    finally:
        first.kill()
        first.wait()
    with hold_lock(lock, "second", "the lock"), attempted(lock) as mine:
        assert not mine
    assert (lock_folder() / place_of(lock).name).is_file()
    said = capfd.readouterr().err
    assert f"{share}: this file system has no file locks (flock). They are kept in" in said


@pytest.mark.parametrize("share", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"], indirect=True)
def test_files_are_written_there_all_the_same(share):
    write_text(share / "a.txt", "a")
    with atomic_dir(share / "folder") as temporary:
        (temporary / "b.txt").write_text("b")
    assert create_private(share / "key", "k")
    with scratch_dir(share) as folder:
        assert folder.is_dir()
    assert sorted(path.name for path in share.iterdir()) == ["a.txt", "folder", "key"]


def test_where_there_are_locks_they_lie_where_they_did(tmp_path):
    assert has_locks(tmp_path)
    assert place_of(tmp_path / "a.lock") == tmp_path / "a.lock"


def test_two_folders_without_locks_end_in_one_line(share, monkeypatch):
    monkeypatch.setenv("GENMINT_LOCKS", str(share / "locks"))
    message = (
        rf"^{share / 'locks'}: its file system has no file locks \(flock\)\. Set GENMINT_LOCKS"
    )
    with pytest.raises(ConfigError, match=message), attempted(share / "a.lock"):
        pass


def git(root, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True)


def test_a_project_there_works_after_what_doctor_says(share):
    root = share / "project"
    root.mkdir()
    (root / "dvc.yaml").write_text("stages: {a: {cmd: echo 1 > x, outs: [x]}}\n")
    (root / "params.yaml").write_text("{}\n")
    (root / ".dvc").mkdir()
    (root / ".dvc" / ".gitignore").write_text("/tmp\n/cache\n/config.local\n")
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    project = Project(root)
    with pytest.raises(GenmintError, match="Unable to acquire lock"):
        run_dvc(project, "repro")
    mark, text = doctor.check(project, "file locks")
    assert mark == "failed"
    # A checkout of a flow needs nobody's advice.
    with checked_out(project, "HEAD", "run") as checkout:
        run_dvc(checkout, "repro")
        with (
            pytest.raises(TemporaryError, match="in use by another process"),
            checked_out(project, "HEAD", "run"),
        ):
            pass
    assert text.endswith("and remove .dvc/tmp/lock, which it left")
    run_dvc(project, *text.partition("`dvc ")[2].partition("`")[0].split())
    (root / ".dvc/tmp/lock").unlink()
    run_dvc(project, "repro")
    assert (root / "x").read_text() == "1\n"
    mark, text = doctor.check(project, "file locks")
    assert mark == "!"
    assert "use this checkout on one machine at a time" in text


def test_doctor_reports_no_problem_where_there_are_locks():
    assert doctor.check(Project(Path(__file__).parents[2]), "file locks")[0] == "ok"
