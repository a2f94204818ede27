"""`genmint ui` in a process of its own, and how it ends."""

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

import psutil
from tests.tracking.conftest import free_port


@dataclass(frozen=True)
class ServedUI:
    """A running `genmint ui`.

    Attributes:
        address: of the server, without a path.
        link: that it printed; the page of the runs.
        processes: itself and the processes that it started.
    """

    address: str
    link: str
    processes: list[psutil.Process]


@contextlib.contextmanager
def served_ui(root, ending=signal.SIGTERM, **env):
    """Start `genmint ui` in this folder; at the end it gets the signal and leaves no process."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    ui = subprocess.Popen(
        [sys.executable, "-m", "genmint", "ui", "--port", str(port)],
        cwd=root,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    processes = []
    try:
        line = ui.stdout.readline()
        assert line.startswith(f"MLflow: {address}/"), line
        assert line.endswith(" (Ctrl-C ends it)\n")
        myself = psutil.Process(ui.pid)
        processes = [myself, *myself.children(recursive=True)]
        yield ServedUI(address, line.split()[1], processes)
    finally:
        # As a service manager or a person ends it, or as it is killed.
        ui.send_signal(ending)
        status = ui.wait(timeout=60)
        ui.stdout.close()
    assert status == (-signal.SIGKILL if ending == signal.SIGKILL else 130)
    assert psutil.wait_procs(processes[1:], timeout=30)[1] == []
