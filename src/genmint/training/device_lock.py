"""One training run per device, by a lock that the kernel releases when its holder dies.

The training process itself holds the lock. The process that started it (a shell, DVC, a flow, a
worker) may be killed and restarted while training continues.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from genmint.common import file_lock
from genmint.common.errors import TrainsElsewhereError
from genmint.common.file_lock import lock_folder

if TYPE_CHECKING:
    import torch

DEVICE = "GENMINT_DEVICE"
# Value for a process that may use cached results but must not train.
NO_DEVICE = "none"


def refuse_elsewhere(name: str) -> None:
    """Raise if training is disabled in this process.

    Raises:
        TrainsElsewhereError: `GENMINT_DEVICE=none`.
    """
    if os.environ.get(DEVICE) == NO_DEVICE:
        raise TrainsElsewhereError(
            f"{name}: {DEVICE}={NO_DEVICE} forbids training in this process, and DVC's cache has "
            "no result of it"
        )


@contextlib.contextmanager
def lock_devices(device: torch.device, name: str) -> Iterator[None]:
    """Lock the devices of this machine for a training run; wait for them with a message.

    Of several processes, the first one on each machine locks the devices of all, always in the same
    order. Otherwise two training runs could each hold half of the devices and deadlock.

    Args:
        device: device of this process.
        name: name of the model, shown to waiting processes.

    Raises:
        ConfigError: the lock folder belongs to another user.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        yield
        return
    with contextlib.ExitStack() as locks:
        for each in sorted(_names(device)):
            locks.enter_context(file_lock.hold_lock(lock_folder() / f"{each}.lock", name, each))
        yield


def _names(device: torch.device) -> list[str]:
    """Return the lock names of the devices: the name from `GENMINT_DEVICE`, and each GPU's UUID.

    The UUID is used since a GPU's number depends on CUDA_VISIBLE_DEVICES. Both names are locked, so
    that a manually started training run without the variable conflicts with one of a worker.
    """
    names = []
    setting = os.environ.get(DEVICE)
    if setting:
        names.append("".join(sign if sign.isalnum() or sign in "._-" else "_" for sign in setting))
    if device.type == "cuda":
        import torch

        for number in range(int(os.environ.get("LOCAL_WORLD_SIZE", "1"))):
            names.append(f"cuda-{torch.cuda.get_device_properties(number).uuid}")
    return names
