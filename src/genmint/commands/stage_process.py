"""A stage as a process: it runs once at a time, and ends with the DVC process that started it.

`dvc` starts a shell, the shell starts the stage, and a signal that ends `dvc` reaches neither. A
stage that went on alone would meet the one that the next `dvc repro` starts.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from genmint.common import file_lock
from genmint.common.dvc_rwlock import holds_lock
from genmint.common.errors import GenmintError
from genmint.training.launch import speaks

if TYPE_CHECKING:
    import psutil

    from genmint.common.project import Project

# DVC sets it to the stage's name in the environment of the command that it runs.
_STAGE = "DVC_STAGE"
_SHELLS = ("sh", "ash", "bash", "dash", "fish", "ksh", "zsh")
_SECONDS_BETWEEN_POLLS = 0.3
# A training run saves its checkpoint when it is asked to end: one step and one file.
_GRACE_SECONDS = 10.0


@contextlib.contextmanager
def running(project: Project, stage: str) -> Iterator[None]:
    """Run a stage in the block: alone in this checkout, and no longer than its DVC process.

    While another process runs the same stage, this one waits and prints which it waits for. When
    the DVC process is gone, this process gets SIGTERM, and SIGKILL 10 s later. Of the several
    processes of one training run only the first does this; the others end with the first.

    Args:
        project: the checkout.
        stage: its name in dvc.yaml, as `train@image-vae`.

    Raises:
        GenmintError: the DVC process has ended already.
    """
    if not speaks():
        yield
        return
    # First, since the one that it waits for may outlive the DVC process.
    with _ended_with_dvc(project, stage):
        folder = project.state / "running"
        folder.mkdir(parents=True, exist_ok=True)
        with file_lock.hold_lock(folder / f"{stage}.lock", stage, "the same stage"):
            yield


@contextlib.contextmanager
def _ended_with_dvc(project: Project, stage: str) -> Iterator[None]:
    if _STAGE not in os.environ:
        yield
        return
    dvc = _starter(project)
    if dvc is None:
        raise GenmintError(f"{stage}: not started: the `dvc` that started it has ended")
    over = threading.Event()
    threading.Thread(target=_watch, args=(dvc, stage, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _starter(project: Project) -> psutil.Process | None:
    """The DVC process that ran this stage's command line; None if it has ended already.

    The parent is another process if DVC has ended: the one that takes over orphans. In a container
    this is often a shell in the same session; it is told from DVC by DVC's lock table.
    """
    import psutil

    try:
        parent = psutil.Process(os.getppid())
        # Some shells become the command that they run, others stay and wait for it.
        if parent.name() in _SHELLS and "-c" in parent.cmdline():
            parent = psutil.Process(parent.ppid())
        return parent if holds_lock(project, parent.pid) else None
    except psutil.NoSuchProcess:
        return None


def _watch(dvc: psutil.Process, stage: str, over: threading.Event) -> None:
    import psutil

    while not over.wait(_SECONDS_BETWEEN_POLLS):
        try:
            if dvc.is_running() and dvc.status() != psutil.STATUS_ZOMBIE:
                continue
        except psutil.NoSuchProcess:
            pass
        # Whoever read its output, a terminal or a program, may have ended together with `dvc`.
        with contextlib.suppress(OSError, ValueError):
            print(f"{stage}: stopped: the `dvc` that started it has ended",
                  file=sys.stderr, flush=True)  # fmt: skip
        os.kill(os.getpid(), signal.SIGTERM)
        if not over.wait(_GRACE_SECONDS):
            os.kill(os.getpid(), signal.SIGKILL)
        return
