"""One training a device, seen from the process table and the kernel's own list of locks."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from genmint.common.errors import ConfigError, TrainsElsewhereError
from genmint.common.file_lock import is_wait_message, lock_folder
from genmint.training import device_lock
from genmint.training.device_lock import lock_devices, refuse_elsewhere

CPU = torch.device("cpu")
HOLDER = """\
import sys, torch
from genmint.training.device_lock import lock_devices
with lock_devices(torch.device("cpu"), sys.argv[1]):
    print("holds", flush=True)
    sys.stdin.read()
"""

pytestmark = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="looks into /proc")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GENMINT_LOCKS", str(tmp_path / "locks"))
    monkeypatch.delenv("GENMINT_DEVICE", raising=False)
    return tmp_path / "locks"


@contextlib.contextmanager
def trainings(wanted):
    """Processes that hold a device as a training does, by name, until their input is closed."""
    started = {
        name: subprocess.Popen(
            [sys.executable, "-c", HOLDER, name],
            env={**os.environ, "GENMINT_DEVICE": device},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name, device in wanted.items()
    }  # fmt: skip
    try:
        yield started
    finally:
        for process in started.values():
            with process:
                process.kill()


def holders(folder):
    """Which processes hold the lock of each device, as the kernel says."""
    inodes = {path.stat().st_ino: path.stem for path in folder.glob("*.lock")}
    found = {device: [] for device in inodes.values()}
    for line in Path("/proc/locks").read_text().splitlines():
        parts = line.split()
        # One that waits has an arrow in front.
        if parts[1] == "FLOCK" and int(parts[5].rpartition(":")[2]) in inodes:
            found[inodes[int(parts[5].rpartition(":")[2])]].append(int(parts[4]))
    return found


def test_three_training_runs_on_two_devices_the_third_waits_and_all_end(folder):
    with trainings({"one": "gpu-0", "two": "gpu-1"}) as first, contextlib.ExitStack() as later:
        for process in first.values():
            assert process.stdout.readline() == "holds\n"
        third = later.enter_context(trainings({"three": "gpu-0"}))["three"]
        waits = third.stderr.readline()
        assert waits == f"three: waits for gpu-0, held by one, process {first['one'].pid}\n"
        assert is_wait_message(waits.rstrip())
        assert holders(folder) == {"gpu-0": [first["one"].pid], "gpu-1": [first["two"].pid]}
        first["one"].stdin.close()
        assert third.stdout.readline() == "holds\n"
        assert holders(folder) == {"gpu-0": [third.pid], "gpu-1": [first["two"].pid]}
        for process in (first["two"], third):
            process.stdin.close()
        assert [process.wait(60) for process in (*first.values(), third)] == [0, 0, 0]


def test_a_killed_training_frees_its_device_at_once(folder):
    with trainings({"one": "gpu-0"}) as started:
        assert started["one"].stdout.readline() == "holds\n"
        os.kill(started["one"].pid, signal.SIGKILL)
        started["one"].wait()
        with trainings({"two": "gpu-0"}) as second:
            assert second["two"].stdout.readline() == "holds\n"
            second["two"].communicate()
            assert second["two"].returncode == 0


def test_without_a_device_nothing_is_locked(folder):
    with lock_devices(CPU, "one"), lock_devices(CPU, "two"):
        assert holders(folder) == {} if folder.exists() else True


def test_of_several_processes_only_the_first_holds_it(folder, monkeypatch):
    monkeypatch.setenv("GENMINT_DEVICE", "gpu-0")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with lock_devices(CPU, "one"):
        assert not folder.exists()


def test_a_gpu_is_known_by_what_it_is_and_by_its_name(monkeypatch):
    """A training by hand has no name for the device that a worker calls gpu-0."""

    class Properties:
        uuid = "1234"

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: Properties)
    monkeypatch.setenv("GENMINT_DEVICE", "gpu-0")
    assert device_lock._names(torch.device("cuda")) == ["gpu-0", "cuda-1234"]
    monkeypatch.delenv("GENMINT_DEVICE")
    assert device_lock._names(torch.device("cuda")) == ["cuda-1234"]


def test_a_name_leads_nowhere_else(folder, monkeypatch):
    monkeypatch.setenv("GENMINT_DEVICE", "../gpu/0")
    with lock_devices(CPU, "one"):
        assert [path.name for path in folder.iterdir()] == [".._gpu_0.lock"]


def test_a_folder_of_somebody_else_is_refused(folder, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    with pytest.raises(ConfigError, match="belongs to another user"):
        lock_folder()


def test_where_nothing_may_train_a_training_run_is_refused(monkeypatch):
    refuse_elsewhere("one")
    monkeypatch.setenv("GENMINT_DEVICE", "none")
    with pytest.raises(TrainsElsewhereError, match="one: GENMINT_DEVICE=none"):
        refuse_elsewhere("one")
