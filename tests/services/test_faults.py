"""SIGKILL of each part in the middle of a retraining: the same champion, and nothing left behind.

Weights are the same bit for bit only if the training went on from its checkpoint rightly, and equal
weights are never registered twice: one version in the registry says both.
"""

import contextlib
import fcntl
import os
import signal
import subprocess

import httpx
import mlflow
import psutil
import pytest
from tests.e2e.conftest import clone_of_the_project
from tests.services.conftest import Running, wait_for

from genmint.services.processes import FLOW_RUN, marked

PARAMS = """\
datasets:
  digits: {path: data/sources/digits.yaml, kind: image, resolution: 8, labels: source,
           confirmation: 0.0,
           reference: {min_accuracy: 0.2, epochs: 3}, protocol: {samples: 32, resamples: 2}}
models:
  digits-vae: {family: vae, dataset: digits, hidden: [128], latent: 4, steps: 6000}
gates:
  digits-vae: {thresholds: {elbo: {min: -1000.0}}, champion: {superior: [elbo]}}
"""
# When to strike: as soon as this command is seen in the process table. `train` waits for a
# checkpoint, too. GENMINT_FAULT_MOMENTS=5 strikes at all of them.
MOMENTS = ("train", "checkout", "evaluate", "gate", "promote")
CHOSEN = MOMENTS[: int(os.environ.get("GENMINT_FAULT_MOMENTS", "1"))]
VICTIMS = ("worker", "training flow", "retrain flow", "prefect", "mlflow", "postgresql")

pytestmark = [
    pytest.mark.soak,
    pytest.mark.faults,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("services"),
]


class Night:
    """A project with services, a champion, and what a person would check afterwards."""

    def __init__(self, folder):
        self.root = folder / "home"
        self.locks = folder / "locks"
        self.project = clone_of_the_project(self.root)
        (self.root / "params.yaml").write_text(PARAMS)
        self.project.commit("one small model")
        self.running = Running(
            self.root, "--name", "here", OMP_NUM_THREADS="1",
            GENMINT_LOCKS=str(self.locks), GENMINT_CHECKPOINT_SECONDS="0.5",
        )  # fmt: skip
        self.before = self.git()

    def git(self):
        said = [self.project.run("git", *words).stdout for words in (
            ("status", "--porcelain"), ("rev-parse", "HEAD"), ("symbolic-ref", "HEAD"),
        )]  # fmt: skip
        index = self.root / ".git" / "index"
        return said, index.read_bytes()

    def ask(self, **parameters):
        return self.running.ask("retrain/now", **parameters)

    def engine(self, flow):
        """The process of a run of `flow`, which its worker started."""
        for process, env in marked(str(self.running.state)):
            with contextlib.suppress(psutil.Error):
                mine = env.get("PREFECT__FLOW_NAME") == flow and env.get(FLOW_RUN)
                if mine and "prefect.engine" in process.cmdline():
                    return process
        return None

    def has_come(self, moment):
        if moment == "checkout":
            return any((self.root / ".genmint" / "checkouts").glob("*"))
        for process, _ in marked(str(self.running.state)):
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if "genmint" in words and moment in words:
                    saved = (self.root / ".genmint" / "checkpoints").glob("digits-vae/*/state.pt")
                    return moment != "train" or any(saved)
        return False

    def kill(self, victim):
        if victim.endswith("flow"):
            flow = "retrain" if victim == "retrain flow" else "train-model"
            wait_for(lambda: self.engine(flow), 30, victim).send_signal(signal.SIGKILL)
        else:
            self.running.kill("worker gpu-0" if victim == "worker" else victim)

    def champion(self):
        address = f"http://127.0.0.1:{self.running.mlflow_port}"
        tracker = mlflow.MlflowClient(address, address)
        versions = tracker.search_model_versions("name = 'digits-vae'")
        return tracker.get_model_version_by_alias("digits-vae", "champion"), versions

    def check_clean(self):
        """What no flow may leave behind when it has ended."""
        assert not list((self.root / ".genmint" / "checkouts").glob("*"))
        assert not [path for path in self.root.rglob("*.tmp") if ".git" not in path.parts]
        assert not list((self.root / ".genmint" / "checkpoints").glob("digits-vae/*/state.pt"))
        for path in self.locks.glob("*"):
            with path.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert self.git() == self.before


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    made = Night(tmp_path_factory.mktemp("faults"))
    first = made.ask()
    made.running.wait_until(first, "Completed", 300)
    yield made
    made.running.clean()


@pytest.mark.parametrize("moment", CHOSEN)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_changes_nothing_in_the_end(night, victim, moment):
    run = night.ask(force=["train", "evaluate"])
    wait_for(lambda: night.has_come(moment), 240, moment)
    night.kill(victim)
    with contextlib.suppress(httpx.HTTPError):
        print(victim, moment, night.running.states(run))
    night.running.wait_until(run, "Completed", 400)
    champion, versions = night.champion()
    assert [version.version for version in versions] == ["1"]
    assert champion.version == "1"
    logs = night.running.state / "logs"
    text = "".join(path.read_text() for path in logs.glob("worker-*"))
    if victim in ("worker", "training flow") and moment == "train":
        assert "resumes from step" in text
    wait_for(lambda: not night.engine("train-model"), 60, "the worker is free")
    night.check_clean()


def test_afterwards_no_process_and_no_lock_is_left(night):
    assert night.running.stop() == 130
    assert night.running.processes() == []
    night.check_clean()
    for command in (["dvc", "status", "-q"], ["git", "worktree", "list"]):
        done = subprocess.run(
            command, cwd=night.root, env=night.running.clean_env(), capture_output=True, text=True
        )
        assert "lock" not in done.stderr.lower()
    assert done.stdout.count("\n") == 1
