"""Trainings that are really killed, in processes of their own, and go on as if nothing had been."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from genmint.common.errors import GenmintError
from genmint.common.files import sha256_file
from genmint.config import load_params
from genmint.stages import train
from genmint.tracking.chart_keys import chart_key
from genmint.training.history import read_history

PARAMS = """\
datasets:
  dots: {{path: data/sources/dots.yaml, kind: image, resolution: 8}}
  words: {{path: data/own/words, kind: text}}
models:
  vae: {{family: vae, dataset: dots, hidden: [8], latent: 2, ema: 0.9, {common},
        sampler: {{name: gmm, components: 2}}}}
  deep: {{family: vae, dataset: dots, network: hierarchical, ema: 0.9, {common},
         hierarchy: {{groups: [1, 1], width: 4, channels: 2}}}}
  coded: {{family: vae, dataset: dots, network: vq, hidden: [8], codes: 16, code_width: 4,
          restart_codes: 0.5, {common}}}
  gan: {{family: gan, dataset: dots, hidden: [8], latent: 2, accumulate: 2, {common}}}
  rnn: {{family: rnn, dataset: words, hidden: 8, embedding: 4, layers: 2, dropout: 0.2, bptt: 8,
        precision: fp32, {common}}}
gates: {{}}
"""
COMMON = "steps: {steps}, validate_every: 20, batch_size: 8"
OUTS = ["history.csv", "model.safetensors", "health.json", "config.json"]


class Training:
    """`python -m genmint train NAME` in a project of its own, once or again."""

    def __init__(self, project, name):
        self.project = project
        self.name = name
        self.environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "GENMINT_CHECKPOINT_SECONDS": "0",
        }

    def start(self, **environment):
        command = [sys.executable, "-m", "genmint", "train", self.name]
        self.log = (self.project.root / "log").open("a+")
        self.process = subprocess.Popen(
            command,
            cwd=self.project.root,
            stdout=self.log,
            stderr=self.log,
            env={**self.environment, **environment},
        )
        self.started = time.monotonic()

    def said(self):
        return (self.project.root / "log").read_text()

    def over(self):
        return self.process.poll() is not None

    def state(self):
        """The file of its checkpoint, or None."""
        folder = self.project.root / ".genmint" / "checkpoints" / self.name
        found = [path for path in folder.glob("*/state.pt") if not path.parent.suffix]
        return found[0] if found else None

    def step(self):
        """Of its checkpoint; 0 without one."""
        path = self.state()
        with contextlib.suppress(FileNotFoundError):
            if path is not None:
                return torch.load(path)["state"]["now"]["training"]["step"]
        return 0

    def wait_until(self, condition, seconds=120):
        deadline = time.monotonic() + seconds
        while not condition() and not self.over():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)

    def kill(self):
        self.process.kill()
        return self.process.wait()

    def end(self):
        code = self.process.wait(timeout=300)
        assert code == 0, self.said()

    def made(self):
        folder = self.project.model(self.name)
        return {path.name: sha256_file(path) for path in sorted(folder.iterdir())}


def undisturbed(project, name):
    """What the same training makes in one go, here."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train.run(project, load_params(project.params), name)
    finally:
        torch.set_num_threads(before)
    made = {path.name: sha256_file(path) for path in sorted(project.model(name).iterdir())}
    assert sorted(made) == sorted(OUTS)
    return made


def check_run(project, name):
    """One run, finished, with each value of the history once."""
    with contextlib.closing(sqlite3.connect(project.root / "mlflow.db", timeout=30)) as database:
        runs = database.execute(
            "SELECT run_uuid, status FROM runs WHERE lifecycle_stage = 'active'"
        ).fetchall()
        rows = database.execute(
            "SELECT key, step, value FROM metrics WHERE key NOT LIKE 'system/%'"
        ).fetchall()
    assert [status for _, status in runs] == ["FINISHED"]
    history = read_history(project.model(name) / "history.csv")
    wanted = [
        (chart_key(key), row["step"], value)
        for row in history
        for key, value in row.items()
        if key != "step"
    ]
    assert sorted(rows) == sorted(wanted)


def check_nothing_is_left(project):
    # Killed while it deletes, it leaves what is no checkpoint any more.
    held = [path for path in project.root.glob(".genmint/checkpoints/*/*") if not path.suffix]
    assert held == []
    assert not list(project.root.glob("models/.*"))


# Where a kill strikes: anywhere from the start of the process on, at a step, or after the weights
# are in place and while the run is being closed.
def strike(training, kind, rng, steps):
    training.start()
    if kind == "start":
        time.sleep(rng.uniform(0, 4))
    elif kind == "step":
        begun = training.step()
        wanted = rng.randint(begun, begun + max(1, (steps - begun) // 3))
        training.wait_until(lambda: training.step() > wanted)
        time.sleep(rng.uniform(0, 0.03))
    else:
        training.wait_until(training.project.model(training.name).exists)
        time.sleep(rng.uniform(0, 0.1))
    training.kill()


def killed_and_restarted(training, kinds, seed, steps):
    """Kill as often as there are kinds; returns in the middle of how many writings."""
    rng = random.Random(seed)  # noqa: S311 - nobody should guess what to kill
    torn = 0
    for kind in kinds:
        strike(training, kind, rng, steps)
        torn += len(list(training.project.root.glob(".genmint/checkpoints/*/*/.state.pt.*.tmp")))
        if training.project.model(training.name).exists() and training.state() is None:
            # It had done all but to say so.
            break
    else:
        training.start()
        training.end()
    return torn


@pytest.fixture
def pair(tmp_path, by_hand):
    """Two equal projects: one for an undisturbed training, one for the other."""

    def make(steps, changes=""):
        params = PARAMS.format(common=COMMON.format(steps=steps) + changes)
        return by_hand(tmp_path / "quiet", params), by_hand(tmp_path / "killed", params)

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("vae", ["start", "step", "step", "end"]),
        # Before the first step and after the last, families do not differ.
        ("gan", ["step"]),
        pytest.param("coded", ["step", "step"], marks=pytest.mark.soak),
        pytest.param("rnn", ["step"], marks=pytest.mark.soak),
        pytest.param("deep", ["step", "step"], marks=pytest.mark.soak),
    ],
    ids=["vae", "gan", "coded", "rnn", "deep"],
)
def test_a_killed_training_ends_as_an_undisturbed_one(pair, name, kinds):
    quiet, project = pair(120)
    training = Training(project, name)
    killed_and_restarted(training, kinds, f"4 {name}", 120)
    assert training.made() == undisturbed(quiet, name)
    check_run(project, name)
    check_nothing_is_left(project)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["vae", "gan", "rnn"])
def test_killed_twenty_times_a_training_run_ends_as_an_undisturbed_one(pair, name):
    quiet, project = pair(600)
    training = Training(project, name)
    kinds = ["start", *["step"] * 8, "start", *["step"] * 8, "end", "end"]
    torn = killed_and_restarted(training, kinds, f"20 {name}", 600)
    assert training.made() == undisturbed(quiet, name)
    check_run(project, name)
    check_nothing_is_left(project)
    # Writing is most of what it does: else the kills did not strike where it hurts.
    assert torn >= 3


@pytest.mark.slow
def test_ctrl_c_ends_a_training_run_with_130_and_a_second_process_is_refused_before(pair):
    _, project = pair(2_000_000)
    training = Training(project, "vae")
    training.start()
    try:
        training.wait_until(training.state)
        with pytest.raises(GenmintError, match="in use by another process of the same"):
            train.run(project, load_params(project.params), "vae")
        training.process.send_signal(signal.SIGINT)
        training.wait_until(training.over, 60)
    finally:
        training.kill()
    assert training.process.returncode == 130
    said = training.said()
    assert "genmint train: stopped after step " in said
    assert "The same command resumes from here." in said
    assert "Traceback" not in said
    assert not project.model("vae").exists()
    assert not list(project.root.glob("models/.*"))
    assert training.step() > 0
    with contextlib.closing(sqlite3.connect(project.root / "mlflow.db")) as database:
        assert database.execute("SELECT status FROM runs").fetchall() == [("KILLED",)]


def stat(pid):
    """State and parent of a process, or None."""
    with contextlib.suppress(OSError):
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[:2]
        return state, int(parent)
    return None


def lives(pid):
    return stat(pid) is not None and stat(pid)[0] not in "ZX"


def helpers_of(process):
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if (stat(pid) or ("", 0))[1] == process.pid]


def helper_at_work(training, two):
    """Start two processes, and return the second one's number once they train."""
    training.start(**two)
    begun = training.step()
    training.wait_until(lambda: training.step() > begun)
    (helper,) = helpers_of(training.process)
    return helper


def killed_one_by_one(training, two):
    """Kill the second process, and then, when it has gone on, the first."""
    helper = helper_at_work(training, two)
    os.kill(helper, signal.SIGKILL)
    training.wait_until(training.over, 60)
    assert training.process.returncode == 1
    assert "process 1 of the training run ended with -9. The same command" in training.said()

    helper = helper_at_work(training, two)
    training.kill()
    # It does not live on, with nobody to watch it and the checkpoint in its hands.
    deadline = time.monotonic() + 20
    while lives(helper):
        assert time.monotonic() < deadline
        time.sleep(0.05)


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="looks for processes in /proc"
)
TWO = {"GENMINT_PROCESSES": "2"}


@pytest.mark.slow
@pytest.mark.soak
def test_two_processes_make_one_model_and_one_run(pair):
    _, project = pair(60)
    training = Training(project, "gan")
    training.start(**TWO)
    training.end()
    assert sorted(training.made()) == sorted(OUTS)
    assert training.said().count("best validation loss") == 1
    assert "Warning" not in training.said()
    check_run(project, "gan")
    check_nothing_is_left(project)


@pytest.mark.soak
@needs_proc
@pytest.mark.parametrize("name", ["vae", "gan", "rnn"])
def test_two_processes_killed_and_interrupted_make_what_undisturbed_ones_make(pair, name):
    quiet, project = pair(400)
    training = Training(project, name)
    for _ in range(3):
        killed_one_by_one(training, TWO)
    helper_at_work(training, TWO)
    training.process.send_signal(signal.SIGINT)
    training.wait_until(training.over, 60)
    assert training.process.returncode == 130
    assert training.said().count("stopped after step ") == 1
    training.start(**TWO)
    training.end()
    assert "Traceback" not in training.said()
    check_run(project, name)
    check_nothing_is_left(project)
    other = Training(quiet, name)
    other.start(**TWO)
    other.end()
    assert training.made() == other.made()
