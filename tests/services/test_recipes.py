"""What docs/cluster.md and docs/services.md have people type, and which test runs it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.services.recipes import blocks, commands

TESTS = Path(__file__).parents[1]
CLUSTER = "e2e/test_cluster.py::test_one_home_trains_for_the_other"
LOGIN = "team:a-long-passphrase"

# By how a command begins: the test that runs it, in whatever folder and on whatever port.
RUN = {
    "cluster.md": {
        "git clone": "e2e/test_cluster.py::clone",
        "dvc remote": "e2e/test_cluster.py::origin",
        "git commit": "e2e/test_cluster.py::origin",
        "export MLFLOW_S3": CLUSTER,
        "export STORE": CLUSTER,
        "export ARTIFACTS": CLUSTER,
        "export AWS": "e2e/test_cluster.py::environment",
        "export GENMINT_LOGIN": "e2e/test_cluster.py::environment",
        "export MLFLOW_SERVER_ALLOWED_HOSTS": "services/test_recipes.py::test_workers_of_a_host",
        "genmint services --host": "services/test_recipes.py::test_workers_of_a_host",
        "export PREFECT_API_URL": "services/test_recipes.py::test_workers_of_a_host",
        "export MLFLOW_TRACKING": "services/test_recipes.py::test_workers_of_a_host",
        "export PREFECT_API_AUTH_STRING": "services/test_recipes.py::test_workers_of_a_host",
        "genmint services --workers-only": CLUSTER,
        "CUDA_VISIBLE_DEVICES": "services/test_recipes.py::test_workers_of_a_host",
    },
    "services.md": {
        "export PREFECT_API_URL": "e2e/test_retrain_clones.py::test_two_clones",
        "export MLFLOW_TRACKING_URI": "e2e/test_retrain_clones.py::test_two_clones",
        "export GENMINT_LOGIN": "services/test_login.py::guarded",
        "genmint services --host": "services/test_login.py::guarded",
        "ALERTS": "services/test_services.py::test_people_are_notified_of_failures",
        "prefect deployment run": "services/test_container.py::test_process_one_trains",
        "STORE": CLUSTER,
        "PREFECT_API_URL": "services/test_lost_host.py::test_the_run_of_a_lost_host",
        "genmint deploy": "services/test_deploying_edits.py::test_services_started_anew",
    },
}
NOT_RUN = {
    "make setup": "installs: `make test` begins with it",
    ".venv/bin/pip install": "installs: `make soak` has the extra from its own lines",
    ". .venv/bin/activate": "the tests put the same folder on PATH",
    "make services": "is `genmint services` after `make setup`",
    "prefect work-pool": "no Docker and no Kubernetes at hand",
    "prefect worker start --pool gpu-": "no Docker and no Kubernetes at hand",
}


@pytest.mark.parametrize("page", RUN)
def test_every_command_of_the_page_is_run_by_a_test(page):
    known = {**RUN[page], **NOT_RUN}
    typed = commands(page)
    assert [line for line in typed if not line.startswith(tuple(known))] == []
    # What the page no longer has is no entry.
    assert [start for start in RUN[page] if not any(line.startswith(start) for line in typed)] == []
    for where in RUN[page].values():
        file, _, name = where.partition("::")
        assert not name or re.search(rf"^def {name}", (TESTS / file).read_text(), re.MULTILINE), (
            where
        )


def test_a_command_that_no_test_runs_is_found(monkeypatch):
    monkeypatch.setattr("tests.services.test_recipes.commands", lambda _: ["genmint fly"])
    with pytest.raises(AssertionError, match="genmint fly"):
        test_every_command_of_the_page_is_run_by_a_test("cluster.md")


def block(page, word):
    """The one block of a page in which `word` stands."""
    (found,) = [each for each in blocks(page) if word in each]
    return found


def shell_of_a_host(head, host, log):
    """A shell into which the commands of docs/cluster.md for a host with GPUs are typed."""
    exports = [line for line in block("cluster.md", "export PREFECT_API_URL").splitlines()
               if line.startswith("export ")]  # fmt: skip
    typed = "\n".join([*exports, block("cluster.md", "gpus-0-1"), "wait"])
    for said, meant in (
        ("http://head.example.org:4200/api", head.addresses["PREFECT_API_URL"]),
        ("http://head.example.org:5000", head.addresses["MLFLOW_TRACKING_URI"]),
        ("GENMINT_SIGNING_KEY=…", f"GENMINT_SIGNING_KEY={'5a' * 32}"),
    ):
        assert said in typed
        typed = typed.replace(said, meant)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with log.open("wb") as stream:
        return subprocess.Popen(
            ["bash", "-c", typed], cwd=host, env={**head.clean_env(), "PATH": path},
            stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip


def workers_of(head, runs):
    """Name of the worker of each run, in their order."""
    with head.client as client:
        return [client.read_flow_run(run).labels["prefect.worker.name"] for run in runs]


@pytest.mark.soak
@pytest.mark.timeout(2400)
def test_workers_of_a_host_and_one_by_hand_leave_each_other_alone(start, napping, tmp_path):
    """Both blocks as they stand in docs/cluster.md, typed into the shell of a host."""
    (names,) = re.findall("MLFLOW_SERVER_ALLOWED_HOSTS=(.*)", block("cluster.md", "ALLOWED_HOSTS"))
    head = start(
        "head", "--host", "0.0.0.0", "--workers", "0", "--name", "head",  # noqa: S104
        GENMINT_LOGIN=LOGIN, MLFLOW_SERVER_ALLOWED_HOSTS=f"{names},127.0.0.1:*",
    )  # fmt: skip
    address = f"{head.addresses['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search"
    for name, refused in (("head.example.org:5000", False), ("another.example.org", True)):
        answer = httpx.get(address, params={"max_results": 1}, headers={"Host": name})
        assert (answer.status_code == 403) == refused, answer.text
    host = napping("host")
    shell = shell_of_a_host(head, host, tmp_path / "host.log")
    try:
        runs = [head.ask("nap/gpu", seconds=[40.0], out=str(tmp_path / f"{i}")) for i in range(2)]
        for run in runs:
            head.wait_until(run, "Running", 600)
        name = os.uname().nodename
        assert sorted(workers_of(head, runs)) == [f"{name}:gpu-0", f"{name}:gpus-0-1"]
        for run in runs:
            head.wait_until(run, "Completed", 300)
            assert "Crashed" not in head.states(run)
        # The services of the host stop; the worker beside them goes on with what it does.
        run, other = (head.ask("nap/gpu", seconds=[30.0, 0.0], out=str(tmp_path / f"{i}"))
                      for i in (2, 3))  # fmt: skip
        for asked in (run, other):
            head.wait_until(asked, "Running", 300)
        labels = dict(zip(workers_of(head, (run, other)), (run, other), strict=True))
        state = host / ".genmint" / "services" / "state.json"
        supervisor = re.search(r'"supervisor": (\d+)', state.read_text())[1]
        os.kill(int(supervisor), signal.SIGTERM)
        for asked in (run, other):
            head.wait_until(asked, "Completed", 600)
        assert "Resumed" not in head.states(labels[f"{name}:gpus-0-1"])
        assert "Resumed" in head.states(labels[f"{name}:gpu-0"])
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        shell.wait(120)
