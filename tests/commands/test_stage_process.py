"""Stages under a real `dvc repro` that is killed: none goes on alone, none runs twice at once."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from genmint.commands import stage_process
from genmint.common.errors import GenmintError
from genmint.common.project import Project

PARAMS = """\
datasets:
  dots: {path: faces, kind: image, resolution: 8}
models:
  tiny: {family: vae, dataset: dots, hidden: [8], latent: 2, steps: 2000000, validate_every: 20}
gates: {}
"""
STAGES = """\
stages:
  ingest:
    foreach: [dots]
    do:
      cmd: python -m genmint ingest ${item}
      deps: [faces]
      outs: ["data/raw/${item}", "data/manifest/${item}.parquet"]
  train:
    foreach: [tiny]
    do:
      cmd: python -m genmint train ${item}
      outs: ["models/${item}"]
"""
ENDINGS = [signal.SIGKILL, signal.SIGTERM]
# Of checkpoints, so that a training run has one at once, and is slow enough to be met.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "GENMINT_CHECKPOINT_SECONDS": "0", "DVC_NO_ANALYTICS": "1"}

pytestmark = pytest.mark.skipif(shutil.which("dvc") is None, reason="runs `dvc`")


@pytest.fixture
def project(tmp_path, by_hand):
    """A project of DVC without git: an own folder that takes seconds to read, and prepared data."""
    project = by_hand(tmp_path / "project", PARAMS)
    (project.root / "dvc.yaml").write_text(STAGES)
    faces = project.root / "faces"
    faces.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8)
    Image.fromarray(pixels).save(faces / "0.png")
    for number in range(1, 1000):
        os.link(faces / "0.png", faces / f"{number}.png")
    dvc(project, "init", "--no-scm", "-q").wait()
    return project


def dvc(project, *arguments, stdout=subprocess.PIPE):
    return subprocess.Popen(
        ["dvc", *arguments],
        cwd=project.root,
        env={**os.environ, **ENVIRONMENT},
        stdout=stdout,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until(condition, process, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def stage_of(process):
    """The process of the stage that a `dvc` runs, by its command line; a shell may be between."""
    for child in psutil.Process(process.pid).children(recursive=True):
        if "genmint" in child.cmdline() and "-c" not in child.cmdline():
            return child
    return None


def half_written(project):
    return list(project.root.glob("data/*/.dots*.tmp"))


def killed(project, stage, ending, at):
    """End a `dvc repro STAGE` at a moment; return the process of the stage."""
    process = dvc(project, "repro", "-s", stage)
    try:
        until(at, process)
        left = stage_of(process)
        os.kill(process.pid, ending)
        # Whoever reads its output goes as well, as a terminal does that is closed.
        process.stdout.close()
    finally:
        process.kill()
        process.wait()
    return left


@pytest.fixture(params=["process 1", "a process of this session"])
def takes_orphans(request):
    """Who becomes the parent of an orphan: in a container it is often a shell."""
    if request.param == "process 1":
        yield
        return
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None:
        pytest.skip("needs Linux")
    set_child_subreaper = 36
    assert prctl(set_child_subreaper, 1, 0, 0, 0) == 0
    yield
    assert prctl(set_child_subreaper, 0, 0, 0, 0) == 0


@pytest.mark.usefixtures("takes_orphans")
def test_a_stage_whose_dvc_is_killed_before_it_looks_does_not_begin(project):
    """Its parent is then one that lives on."""
    with (project.root / "log").open("w") as log:
        process = dvc(project, "repro", "-s", "train@tiny", stdout=log)
    left = until(lambda: stage_of(process), process)
    process.kill()
    process.wait()
    try:
        assert psutil.wait_procs([left], timeout=120)[0] == [left]
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
    said = "train@tiny: not started: the `dvc` that started it has ended"
    assert said in (project.root / "log").read_text()


def test_a_stage_whose_dvc_ends_while_it_is_looked_for_does_not_begin(tmp_path, monkeypatch):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    monkeypatch.setenv("DVC_STAGE", "ingest@dots")
    monkeypatch.setattr(os, "getppid", lambda: gone.pid)
    with (
        pytest.raises(GenmintError, match="ingest@dots: not started: the `dvc`"),
        stage_process.running(Project(tmp_path), "ingest@dots"),
    ):
        pytest.fail("began")


def repeat(project, stage):
    process = dvc(project, "repro", "-s", stage)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    assert "Traceback" not in out
    return out


@pytest.mark.slow
@pytest.mark.parametrize("ending", [ENDINGS[0], pytest.param(ENDINGS[1], marks=pytest.mark.soak)])
def test_ingest_ends_with_its_dvc_and_leaves_nothing(project, ending):
    left = killed(project, "ingest@dots", ending, lambda: half_written(project))
    left.wait(timeout=20)
    # It was ended, and did not merely come to its end alone.
    assert not project.manifest("dots").exists()
    repeat(project, "ingest@dots")
    assert project.manifest("dots").exists()
    assert half_written(project) == []


@pytest.mark.slow
def test_ingest_that_is_killed_itself_is_cleaned_up_after(project):
    process = dvc(project, "repro", "-s", "ingest@dots")
    until(lambda: half_written(project), process)
    stage_of(process).kill()
    process.wait()
    assert half_written(project) != []
    repeat(project, "ingest@dots")
    assert half_written(project) == []


@pytest.mark.soak
def test_training_saves_its_state_when_its_dvc_is_killed_and_the_repeat_goes_on(project):
    def checkpoints():
        return list(project.root.glob(".genmint/checkpoints/tiny/*/state.pt"))

    left = killed(project, "train@tiny", signal.SIGKILL, checkpoints)
    left.wait(timeout=30)
    assert checkpoints()
    process = dvc(project, "repro", "-s", "train@tiny")
    try:
        said = ""
        while "goes on" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        left = stage_of(process)
    finally:
        process.kill()
    left.wait(timeout=30)


def test_a_second_process_of_a_stage_waits_for_the_first_by_name(tmp_path):
    project = Project(tmp_path)
    code = (
        "import sys; from pathlib import Path\n"
        "from genmint.common.project import Project\n"
        "from genmint.commands.stage_process import running\n"
        "with running(Project(Path(sys.argv[1])), 'ingest@dots'): print('runs', flush=True)\n"
    )
    with stage_process.running(project, "ingest@dots"):
        second = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        waits = second.stderr.readline()
        assert waits == (
            f"ingest@dots: waits for the same stage, held by ingest@dots, process {os.getpid()}\n"
        )
        assert second.poll() is None
    out, _ = second.communicate(timeout=30)
    assert (second.returncode, out) == (0, "runs\n")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_as_ctrl_c_does(tmp_path, ending):
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    with stage_process.running(Project(tmp_path), "ingest@dots"):
        process = subprocess.Popen(
            [sys.executable, "-m", "genmint", "ingest", "dots"],
            cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert "waits for" in process.stderr.readline()
        process.send_signal(ending)
        said = process.stderr.read()
    assert process.wait(timeout=30) == 130
    assert said.strip() == f"genmint ingest: ended by {ending.name}"
    assert not Path(tmp_path, "data").exists()
