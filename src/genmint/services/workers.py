"""Workers of a machine: one per GPU, or CPU workers that share the cores."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

from genmint.common.cores import THREADS, cores, threads_setting
from genmint.services.config import Services
from genmint.services.pools import CPU, GPU
from genmint.services.processes import Child
from genmint.services.servers import services_environment

# Flows mostly wait for their stages; each is a process of about 150 MB.
_FLOWS_AT_ONCE = 10
_COUNT = "import torch; print(torch.cuda.device_count())"


@dataclass(frozen=True)
class Device:
    """Device of one worker of the pool gpu.

    Attributes:
        label: suffix of the worker's name.
        visible: CUDA_VISIBLE_DEVICES, None without a GPU.
        lock: GENMINT_DEVICE; None: the training run locks the GPU's UUID, as a manually started one
            does.
    """

    label: str
    visible: str | None
    lock: str | None


def devices(services: Services) -> list[Device]:
    """Return one device per visible GPU, or the requested number of CPU workers."""
    gpus = visible_gpus()
    if gpus:
        return [Device(f"gpu-{gpu}", gpu, None) for gpu in gpus]
    return [Device(f"gpu-{i}", None, f"gpu-{i}") for i in range(services.workers)]


def visible_gpus() -> list[str]:
    """Return the CUDA_VISIBLE_DEVICES entry of each GPU; [] without any."""
    # A separate process, because torch would stay in the supervisor's memory.
    counted = subprocess.run(
        [sys.executable, "-c", _COUNT], capture_output=True, text=True, check=True
    )
    count = int(counted.stdout)
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    entries = named.split(",") if named else [str(i) for i in range(count)]
    return [entry.strip() for entry in entries[:count]]


def workers(services: Services) -> dict[str, Child]:
    """Return the workers of this machine, by their names in Prefect.

    There is one worker per device for training runs, and one for flows.

    Flows run on the machine of the servers, because they process that repository's data and
    results.
    """
    used = devices(services)
    env = services_environment(services)
    # Two training runs that each use all cores slow each other down (a step took up to 40 times as
    # long).
    env[THREADS] = str(threads_setting() or max(1, cores() // max(1, len(used))))
    children: dict[str, Child] = {}
    if services.servers:
        children |= _worker(services, CPU, "cpu", env, _FLOWS_AT_ONCE)
    for device in used:
        mine = dict(env)
        if device.visible is not None:
            mine["CUDA_VISIBLE_DEVICES"] = device.visible
        if device.lock is not None:
            mine["GENMINT_DEVICE"] = device.lock
        children |= _worker(services, GPU, device.label, mine, 1)
    return children


def _worker(
    services: Services, pool: str, label: str, env: dict[str, str], limit: int
) -> dict[str, Child]:
    name = f"{services.machine}:{label}"
    arguments = [
        *(
            sys.executable,
            "-m",
            "prefect",
            "worker",
            "start",
            "--type",
            "process",
            "--install-policy",
            "never",
        ),
        *("--pool", pool, "--name", name, "--limit", str(limit)),
    ]
    log = services.state / "logs" / f"worker-{label}.log"
    return {name: Child(f"worker {label}", arguments, env, services.project.root, log)}
