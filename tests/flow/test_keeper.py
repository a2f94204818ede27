"""What a flow started ends with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genmint.flow import keeper

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="looks into /proc")

KEEPER = [sys.executable, "-I", keeper.__file__]
# A shell that starts a shell that starts what works: as DVC does it.
DEEP = "sh -c 'sleep 321 & echo $!; wait'; true"


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def wait_until_dead(pid, seconds=15.0):
    deadline = time.monotonic() + seconds
    while lives(pid):
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.02)


def start(script):
    return subprocess.Popen(
        [*KEEPER, "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def test_the_exit_code_and_the_output_come_through():
    kept = start("echo said; exit 3")
    assert kept.wait(5) == 3
    assert kept.stdout.read() == "said\n"


def test_when_its_starter_is_killed_all_that_it_started_is_gone():
    starter = subprocess.Popen(
        [sys.executable, "-c",
         "import subprocess, sys\n"
         f"p = subprocess.Popen({[*KEEPER, 'sh', '-c', DEEP]!r}, stdin=subprocess.PIPE,\n"
         "                     start_new_session=True)\n"
         "p.wait()"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    worker = int(starter.stdout.readline())
    assert lives(worker)
    starter.kill()
    wait_until_dead(worker)


def test_without_a_keeper_it_lives_on():
    """The fault that the keeper is for: this is what happens otherwise."""
    shell = subprocess.Popen(["sh", "-c", DEEP], stdout=subprocess.PIPE, text=True)
    worker = int(shell.stdout.readline())
    shell.kill()
    shell.wait()
    time.sleep(0.3)
    assert lives(worker)
    os.kill(worker, signal.SIGKILL)


def test_sigterm_is_passed_on_first_so_that_a_training_run_can_save():
    script = "trap 'echo saved; exit 130' TERM; echo ready; while :; do sleep 0.05; done"
    kept = start(script)
    assert kept.stdout.readline() == "ready\n"
    kept.terminate()
    assert kept.stdout.readline() == "saved\n"
    assert kept.wait(5) == 130


def test_what_a_stage_leaves_behind_is_ended_with_it():
    kept = start("sleep 321 >/dev/null & echo $!")
    left = int(kept.stdout.readline())
    assert kept.wait(5) == 0
    wait_until_dead(left)
