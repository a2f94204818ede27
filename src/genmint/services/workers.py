"""Which workers a machine gets: one a GPU, or CPU workers that share the cores."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

from genmint.services.config import Services
from genmint.services.pools import CPU, GPU
from genmint.services.processes import Child
from genmint.services.servers import environment

# Flows wait for their stages most of the time; each is a process of some 150 MB.
_FLOWS_AT_ONCE = 10
_COUNT = "import torch; print(torch.cuda.device_count())"


@dataclass(frozen=True)
class Device:
    """What one worker of the pool gpu trains on.

    Attributes:
        label: end of the worker's name.
        visible: CUDA_VISIBLE_DEVICES, None where there is no GPU.
        lock: GENMINT_DEVICE; None lets the training take the GPU's own UUID, which a training
            started by hand takes, too.
    """

    label: str
    visible: str | None
    lock: str | None


def devices(services: Services) -> list[Device]:
    """One for each visible GPU, else as many CPU workers as were asked for."""
    gpus = visible_gpus()
    if gpus:
        return [Device(f"gpu-{gpu}", gpu, None) for gpu in gpus]
    return [Device(f"gpu-{i}", None, f"gpu-{i}") for i in range(services.workers)]


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may say, one entry a GPU; [] without any."""
    # In a process of its own: torch would stay in the supervisor's memory for good.
    counted = subprocess.run(
        [sys.executable, "-c", _COUNT], capture_output=True, text=True, check=True
    )
    count = int(counted.stdout)
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    entries = named.split(",") if named else [str(i) for i in range(count)]
    return [entry.strip() for entry in entries[:count]]


def workers(services: Services) -> list[Child]:
    """The workers of this machine: one a device for trainings, and one for flows.

    Flows run where the servers do: it is that repository whose data and results they are about.
    """
    used = devices(services)
    env = environment(services)
    # Two trainings with all cores each ruin each other (a step was seen 40 times slower).
    env.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // max(1, len(used)))))
    started = []
    if services.servers:
        started.append(_worker(services, CPU, "cpu", env, _FLOWS_AT_ONCE))
    for device in used:
        mine = dict(env)
        if device.visible is not None:
            mine["CUDA_VISIBLE_DEVICES"] = device.visible
        if device.lock is not None:
            mine["GENMINT_DEVICE"] = device.lock
        started.append(_worker(services, GPU, device.label, mine, 1))
    return started


def prefix(services: Services) -> str:
    """How the names of this machine's workers begin."""
    return f"{services.machine}:"


def _worker(services: Services, pool: str, label: str, env: dict[str, str], limit: int) -> Child:
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
        *("--pool", pool, "--name", prefix(services) + label, "--limit", str(limit)),
    ]
    log = services.state / "logs" / f"worker-{label}.log"
    return Child(f"worker {label}", arguments, env, services.project.root, log)
