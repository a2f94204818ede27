"""Nothing outlives a supervisor, however it ends."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from genmint.services.processes import FLOW_RUN, MARK, Child, kill_marked, marked

NAP = "import time; time.sleep(60)"
# A child of a child, as a stage is of a flow.
NEST = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {NAP!r}])"


def count(mark):
    return len(list(marked(mark)))


def wait_for_count(mark, number, seconds=10.0):
    deadline = time.monotonic() + seconds
    while count(mark) != number:
        assert time.monotonic() < deadline, f"{count(mark)} processes, not {number}"
        time.sleep(0.05)


@pytest.fixture
def mark(tmp_path):
    yield str(tmp_path)
    kill_marked(str(tmp_path))


@pytest.fixture
def nap(mark):
    def start(code=NAP, **env):
        return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, MARK: mark, **env})

    return start


def test_a_process_dies_with_its_killed_parent(tmp_path):
    code = f"""
        import subprocess, sys, time
        start = [sys.executable, "-m", "genmint.services.die_with_parent"]
        child = subprocess.Popen([*start, sys.executable, "-c", {NAP!r}])
        print(child.pid, flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    child = psutil.Process(int(parent.stdout.readline()))
    # It becomes what it was asked to be, under the same pid.
    deadline = time.monotonic() + 10
    while child.cmdline()[1:] != ["-c", NAP]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    assert child.status() == psutil.STATUS_SLEEPING
    parent.kill()
    parent.wait()
    assert psutil.wait_procs([child], timeout=5)[0] == [child]


def test_a_killed_supervisor_leaves_nothing(mark):
    code = f"""
        import subprocess, sys, time
        from pathlib import Path
        from genmint.services.processes import start_watchdog
        start_watchdog({mark!r}, Path("prefect.toml"))
        subprocess.Popen([sys.executable, "-c", {NEST!r}], start_new_session=True)
        time.sleep(60)
    """
    supervisor = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], env={**os.environ, MARK: mark}
    )
    # The supervisor, the cleanup watchdog, the child and its child.
    wait_for_count(mark, 4)
    os.kill(supervisor.pid, signal.SIGKILL)
    supervisor.wait()
    wait_for_count(mark, 0)


def test_the_processes_of_one_flow_run_are_distinguished(mark, nap):
    mine, other = nap(NEST, **{FLOW_RUN: "a"}), nap(**{FLOW_RUN: "b"})
    wait_for_count(mark, 3)
    assert kill_marked(mark, flow_run="a") == 2
    assert mine.wait(5) == -signal.SIGKILL
    assert other.poll() is None
    assert kill_marked(mark + "x") == 0
    assert other.poll() is None


def test_what_runs_the_killing_is_spared(mark):
    code = f"from genmint.services.processes import kill_marked; print(kill_marked({mark!r}))"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], check=True)"
    done = subprocess.run(
        [sys.executable, "-c", outer],
        env={**os.environ, MARK: mark},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "0")


def test_a_child_that_keeps_ending_is_started_ever_more_slowly(tmp_path):
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    child = Child("x", command, dict(os.environ), tmp_path, tmp_path / "log")
    child.start()
    begun, pauses = time.monotonic(), []
    while len(pauses) < 2:
        while (status := child.died()) is None:
            time.sleep(0.02)
        assert status == 3
        ended = time.monotonic()
        while not child.restart_when_due():
            time.sleep(0.02)
        pauses.append(time.monotonic() - ended)
        assert time.monotonic() - begun < 20
    assert 0.9 < pauses[0] < 1.9
    assert 1.9 < pauses[1] < 3.5
    child.end(5)
    assert child.pid is None
