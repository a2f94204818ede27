"""One training a device: a lock that the kernel takes back when its holder dies.

The training process itself holds it, since what started the training (a shell, DVC, a flow, a
worker) may be killed and started anew while the training still runs.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from genmint import file_lock
from genmint.errors import ConfigError, TrainsElsewhereError

if TYPE_CHECKING:
    import torch

DEVICE = "GENMINT_DEVICE"
_FOLDER = "GENMINT_LOCKS"
# Of a process that may look for results and must not compute them.
NO_DEVICE = "none"


def refuse_elsewhere(name: str) -> None:
    """Stop a training of `name` where none may run.

    Raises:
        TrainsElsewhereError: `GENMINT_DEVICE=none`.
    """
    if os.environ.get(DEVICE) == NO_DEVICE:
        raise TrainsElsewhereError(
            f"{name}: {DEVICE}={NO_DEVICE} says that nothing trains in this process, and DVC's "
            "cache has no result of it"
        )


@contextlib.contextmanager
def held(device: torch.device, name: str) -> Iterator[None]:
    """Hold the devices of this machine's part of a training; wait for them, and say so.

    Of several processes the first of each machine holds the devices of all, always in the same
    order: two trainings that each had half of them would wait for each other for ever.

    Args:
        device: of this process.
        name: of the model, for those who wait.

    Raises:
        ConfigError: the folder of the locks belongs to somebody else.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        yield
        return
    with contextlib.ExitStack() as locks:
        for each in sorted(_names(device)):
            locks.enter_context(file_lock.held(lock_folder() / f"{each}.lock", name, each))
        yield


def lock_folder() -> Path:
    """Where the locks of this user on this machine lie; made if it is missing.

    Raises:
        ConfigError: it belongs to somebody else, who could then hold up every training.
    """
    said = os.environ.get(_FOLDER)
    folder = Path(said) if said else Path(tempfile.gettempdir()) / f"genmint-{os.getuid()}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid():
        raise ConfigError(
            f"{folder}: the folder of the device locks belongs to another user. "
            f"Set {_FOLDER} to one of yours."
        )
    return folder


def _names(device: torch.device) -> list[str]:
    """A GPU by what it is, since its number differs with CUDA_VISIBLE_DEVICES; and as it is called.

    Both, so that a training by hand, without the name, meets one of a worker.
    """
    names = []
    said = os.environ.get(DEVICE)
    if said:
        names.append("".join(sign if sign.isalnum() or sign in "._-" else "_" for sign in said))
    if device.type == "cuda":
        import torch

        for number in range(int(os.environ.get("LOCAL_WORLD_SIZE", "1"))):
            names.append(f"cuda-{torch.cuda.get_device_properties(number).uuid}")
    return names
