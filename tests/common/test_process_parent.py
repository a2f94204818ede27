"""Processes end with their parent, whatever its number is, and process 1 of a container reaps."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests import container as containers

DIE_WITH_PARENT = [sys.executable, "-m", "genmint.services.die_with_parent"]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux's kernel")


@pytest.fixture(scope="module")
def container():
    return containers.command()


def test_a_child_of_process_one_runs(container):
    """Its parent is 1 and lives; taken for dead, every server and worker ended at once."""
    child = f"import subprocess; subprocess.run({[*DIE_WITH_PARENT, 'echo', 'ran']!r}, check=True)"
    done = subprocess.run([*container, sys.executable, "-c", child], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


def test_a_child_whose_parent_is_one_runs_outside_of_containers_too(tmp_path):
    """The same without a namespace: what its parent leaves belongs to process 1."""
    out = tmp_path / "out"
    words = " ".join([*DIE_WITH_PARENT, "echo", "ran"])
    script = f'(while kill -0 $$ 2>/dev/null; do sleep 0.05; done; exec {words} > "{out}") &'
    subprocess.run(["sh", "-c", script], check=True)
    deadline = time.monotonic() + 60
    while not out.exists() or out.read_text() != "ran\n":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_whose_parent_has_ended_ends_and_says_why():
    dead = subprocess.Popen(["true"])
    dead.wait()
    done = subprocess.run(
        [*DIE_WITH_PARENT, "--parent", str(dead.pid), "echo", "ran"], capture_output=True, text=True
    )
    said = f"process {dead.pid}, which started this one, has ended\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_one_whose_parent_is_another_ends():
    code = (
        "from genmint.common.process_parent import die_with_parent\n"
        "die_with_parent(1)\n"
        "print('lives')"
    )
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    done = subprocess.run([sys.executable, "-c", outer], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "process 1, which started this one, has ended\n")


def as_process_one(container, script, **how):
    return subprocess.Popen(
        [*container, *DIE_WITH_PARENT, "sh", "-c", script], stdout=subprocess.PIPE, text=True,
        start_new_session=True, **how,
    )  # fmt: skip


def test_process_one_waits_for_what_is_left_to_it(container):
    # Each `sleep` is left to process 1 by a shell that ends at once.
    left = "for i in 1 2 3; do (sleep 0.1 &); done; sleep 1"
    count = "cat /proc/[0-9]*/stat | cut -d ')' -f 2 | grep -c '^ Z'"
    done = as_process_one(container, f"echo $$ $PPID; {left}; {count}; exit 7")
    said, _ = done.communicate(timeout=60)
    assert said.split() == ["2", "1", "0"]
    assert done.returncode == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_process_one_hands_signals_on(container, number):
    ready = f"trap 'echo heard; exit 5' {number.name.removeprefix('SIG')}; echo ready"
    done = as_process_one(container, f"{ready}; while :; do sleep 0.05; done")
    assert done.stdout.readline() == "ready\n"
    os.kill(containers.process_one(done), number)
    assert done.stdout.read() == "heard\n"
    assert done.wait(60) == 5


def test_process_one_ends_as_its_child_was_ended(container):
    done = as_process_one(container, "kill -KILL $$")
    assert done.wait(60) == 128 + signal.SIGKILL


def test_one_module_asks_the_kernel_to_end_a_process_with_its_parent():
    root = Path(__file__).parents[2]
    files = [*(root / "src").rglob("*.py"), *(root / "pipelines").rglob("*.py")]
    assert [path.name for path in files if "PDEATHSIG" in path.read_text(encoding="utf-8")] == [
        "process_parent.py"
    ]
