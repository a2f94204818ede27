"""A group of processes ends with its parent, however that ends."""

import os
import signal
import subprocess
import sys
import textwrap

import psutil
import pytest

NAP = "import time; print('up', flush=True); time.sleep(60)"
# A child of a child, as MLflow's server starts one; both name their pids.
NEST = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, '-c', {NAP!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""
GROUP = [sys.executable, "-m", "genmint.common.process_group", sys.executable, "-c"]


def run(code):
    group = subprocess.Popen([*GROUP, code], stdin=subprocess.PIPE, start_new_session=True)
    return group.wait(timeout=60)


def test_the_exit_code_is_that_of_the_program():
    assert run("raise SystemExit(3)") == 3
    assert run("import os, signal; os.kill(os.getpid(), signal.SIGTERM)") == 128 + signal.SIGTERM


def test_a_killed_parent_leaves_nothing():
    code = f"""
        import subprocess, sys, time
        group = subprocess.Popen({[*GROUP, NEST]!r}, stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True, start_new_session=True)
        print(group.pid, group.stdout.readline(), flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    leader, grandchild = map(int, parent.stdout.readline().split())
    started = [psutil.Process(leader), *psutil.Process(leader).children(recursive=True)]
    assert grandchild in [process.pid for process in started]
    parent.kill()
    parent.wait()
    assert psutil.wait_procs(started, timeout=10)[1] == []


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_group_ends_the_program(ending):
    # Ended by a signal it would end with 128 and its number; this program handles it.
    code = f"""
import signal, sys
signal.signal({int(ending)}, lambda *_: sys.exit(7))
print("up", flush=True)
signal.pause()
"""
    group = subprocess.Popen(
        [*GROUP, code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    group.stdout.readline()
    os.killpg(group.pid, ending)
    assert group.wait(timeout=30) == 7
