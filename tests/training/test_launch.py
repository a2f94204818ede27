"""Processes that are started beside the first, and end with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from genmint.common.errors import ConfigError, GenmintError
from genmint.training import launch
from genmint.training.launch import RENDEZVOUS, first_of, process_count, speaks

PLACE = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", RENDEZVOUS)
TELL = """\
import os, signal, sys
path, *keys = sys.argv[1:]
ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
open(path + os.environ["RANK"], "w").write(" ".join(os.environ[k] for k in keys) + f" {ignored}")
"""
SLEEP = "import time; time.sleep(60)"
# The first of two, in a process of its own, that waits for what never comes.
FIRST = """\
import sys, time
from genmint.training import launch
launch._PATIENCE_SECONDS = 0.2
with launch.first_of(2, ["-c", sys.argv[1], *sys.argv[2:]]):
    print("started", flush=True)
    time.sleep(60)
"""
JOIN = """\
import sys, time
import torch
from genmint.training.distributed import join
from genmint.training.launch import end_with_parent
end_with_parent()
ranks = join(torch.device("cpu"))
assert ranks.gather(ranks.rank) == [0, 1]
open(f"{sys.argv[1]}{ranks.rank}", "w").close()
time.sleep(60)
"""
JOINED_FIRST = """\
import sys
from genmint.training.launch import first_of
with first_of(2, ["-c", *sys.argv[1:]]):
    sys.argv = sys.argv[1:]
    exec(sys.argv[0])
"""
HELPER = """\
import os, sys, time
from genmint.training.launch import end_with_parent
end_with_parent()
open(sys.argv[1] + ".tmp", "w").write(str(os.getpid()))
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def no_place(monkeypatch):
    for key in (*PLACE, "GENMINT_PROCESSES", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(key, raising=False)


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False


def test_every_process_has_its_rank_and_only_the_first_receives_ctrl_c(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with first_of(3, ["-c", TELL, str(tmp_path / "of"), *PLACE]):
        *numbers, file = (os.environ[key] for key in PLACE)
        assert numbers == ["0", "0", "3", "3"]
        assert signal.getsignal(signal.SIGINT) is before
        assert speaks()
    for rank in ("1", "2"):
        said = (tmp_path / f"of{rank}").read_text()
        assert said == f"{rank} {rank} 3 3 {file} True"
    assert not Path(file).parent.exists()
    assert not any(key in os.environ for key in PLACE)


def test_no_process_listens_on_a_network(tmp_path):
    """Whoever connects to the store of torch.distributed may write what the processes read."""
    command = [sys.executable, "-c", JOINED_FIRST, JOIN, str(tmp_path / "joined")]
    first = subprocess.Popen(command)
    try:
        until(lambda: (tmp_path / "joined1").exists() and (tmp_path / "joined0").exists(), 60)
        process = psutil.Process(first.pid)
        pair = [process, *process.children()]
        sockets = [each for one in pair for each in one.net_connections()]
        listening = {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN}
        assert len(pair) == 2
        assert listening == {"127.0.0.1"}
    finally:
        first.kill()
        first.wait()


def test_one_process_is_this_one(monkeypatch):
    monkeypatch.setattr(launch.subprocess, "Popen", None)
    with first_of(1, []):
        assert "RANK" not in os.environ


def test_the_others_end_when_the_first_fails(monkeypatch):
    started = []
    usual = subprocess.Popen

    def remember(*arguments, **named):
        started.append(usual(*arguments, **named))
        return started[-1]

    def fail():
        with first_of(2, ["-c", SLEEP]):
            raise ValueError("on purpose")

    monkeypatch.setattr(launch.subprocess, "Popen", remember)
    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert [process.returncode for process in started] == [-signal.SIGKILL]


def test_a_lost_connection_is_reported_as_the_process_that_died():
    def fail():
        with first_of(2, ["-c", "import sys; sys.exit(3)"]):
            time.sleep(0.3)
            raise RuntimeError("connection closed by peer")

    with pytest.raises(GenmintError, match=r"process 1 of the training run ended with 3\."):
        fail()


def test_an_error_of_the_first_alone_is_its_own():
    def fail():
        with first_of(2, ["-c", SLEEP]):
            raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        fail()


def test_process_0_is_ended_if_it_waits_for_a_dead_process():
    first = subprocess.run(
        [sys.executable, "-c", FIRST, "import sys; sys.exit(3)"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert first.returncode == 1
    assert first.stderr == (
        "genmint: process 1 of the training run ended with 3. "
        "The same command resumes from the last checkpoint.\n"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a parent's death")
def test_the_others_die_with_a_first_that_is_killed(tmp_path):
    told = tmp_path / "pid"
    first = subprocess.Popen([sys.executable, "-c", FIRST, HELPER, str(told)])
    until(told.exists)
    first.kill()
    first.wait()
    until(lambda: not lives(int(told.read_text())))


def test_the_number_of_processes_is_read_from_the_environment(monkeypatch):
    assert process_count() == 1
    monkeypatch.setenv("GENMINT_PROCESSES", "3")
    assert process_count() == 3
    for wrong in ("0", "two", "-1", "", "1.5"):
        monkeypatch.setenv("GENMINT_PROCESSES", wrong)
        with pytest.raises(ConfigError, match=f"GENMINT_PROCESSES={wrong}:"):
            process_count()


def test_a_process_that_was_started_starts_none(monkeypatch):
    monkeypatch.setenv("GENMINT_PROCESSES", "3")
    monkeypatch.setenv("RANK", "1")
    assert process_count() == 1
    assert not speaks()
