"""What `genmint services` starts, where, on which stores: read once, checked, then frozen."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from genmint.errors import ConfigError
from genmint.project import Project
from genmint.services import alerts

SQLITE = "sqlite"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WORKER_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Services:
    """The options of `genmint services`.

    Attributes:
        project: the checkout whose prefect.yaml is deployed and whose store MLflow serves.
        host: address both servers listen on; loopback unless the user says otherwise.
        mlflow_port: of MLflow.
        prefect_port: of Prefect.
        store: `postgresql://…` or "sqlite", for both servers; None: MLflow on mlflow.db, where
            `dvc repro` has it, and Prefect on a PostgreSQL of our own.
        artifacts: where MLflow keeps files, such as `s3://bucket/mlflow`; None: mlartifacts/ of the
            repository.
        workers: CPU workers of the pool gpu, where no GPU is visible; 0: trainings are the affair
            of other machines.
        name: of this machine among the workers; part of their names.
        servers: False on a further machine, whose workers use the servers named by
            PREFECT_API_URL and MLFLOW_TRACKING_URI.
        alerts: Apprise URLs or plain webhooks that hear of failures.
        refusals: after how many refusals of a model in a row an alert goes out.
    """

    project: Project
    host: str = "127.0.0.1"
    mlflow_port: int = 5000
    prefect_port: int = 4200
    store: str | None = None
    artifacts: str | None = None
    workers: int = 1
    name: str = ""
    servers: bool = True
    alerts: tuple[str, ...] = ()
    refusals: int = 3

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ConfigError: an option is out of its range; the message names it.
        """
        if self.workers < 0:
            raise ConfigError(f"--workers {self.workers}: 0 or more")
        if not self.workers and not self.servers:
            raise ConfigError("--workers 0 with --workers-only leaves nothing to start")
        if self.artifacts is not None and "://" not in self.artifacts:
            raise ConfigError(f"ARTIFACTS={self.artifacts}: a URL, such as s3://bucket/mlflow")
        if self.refusals < 1:
            raise ConfigError(f"--refusals {self.refusals}: 1 or more")
        for option, port in (
            ("--mlflow-port", self.mlflow_port),
            ("--prefect-port", self.prefect_port),
        ):
            if not 0 < port < 65536:
                raise ConfigError(f"{option} {port}: a port is 1 to 65535")
        if self.mlflow_port == self.prefect_port:
            raise ConfigError("--mlflow-port and --prefect-port must differ")
        if not _WORKER_NAME.fullmatch(self.machine):
            raise ConfigError(f"--name {self.machine!r}: letters, digits, dots, dashes")
        if self.store not in (None, SQLITE) and not self.on_postgresql:
            raise ConfigError(
                "STORE: write postgresql://user:password@host/name for both servers, or sqlite; "
                "left out, MLflow stays on mlflow.db and Prefect gets a PostgreSQL of its own"
            )
        if not self.servers:
            self._check_remote()
        elif self.alerts:
            alerts.check(self.alerts)

    def _check_remote(self) -> None:
        if self.store is not None:
            raise ConfigError("--workers-only has no servers: leave STORE out")
        if self.artifacts is not None:
            raise ConfigError("--workers-only has no servers: leave ARTIFACTS out")
        if self.alerts:
            raise ConfigError("--workers-only: alerts are set up where the servers run")
        for variable in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
            if not os.environ.get(variable):
                raise ConfigError(f"--workers-only: set {variable} to where the server is")

    @property
    def on_postgresql(self) -> bool:
        """Whether a PostgreSQL was named."""
        return (self.store or "").startswith(("postgresql://", "postgres://"))

    @property
    def state(self) -> Path:
        """Folder of pids, logs and Prefect's home; also the mark of what belongs to it."""
        return self.project.home / ".genmint" / "services"

    @property
    def mark(self) -> str:
        """What everything started here carries in its environment."""
        return str(self.state)

    @property
    def machine(self) -> str:
        """Name of this machine among the workers."""
        return self.name or socket.gethostname()

    @property
    def prefect_api(self) -> str:
        """Where workers and flows reach Prefect."""
        if not self.servers:
            return os.environ["PREFECT_API_URL"]
        return f"http://{self.reachable}:{self.prefect_port}/api"

    @property
    def tracker(self) -> str:
        """Where trainings reach MLflow."""
        if not self.servers:
            return os.environ["MLFLOW_TRACKING_URI"]
        return f"http://{self.reachable}:{self.mlflow_port}"

    @property
    def reachable(self) -> str:
        """An address of `host` that a client on this machine can connect to."""
        if self.host in ("0.0.0.0", "::"):  # noqa: S104 - what the user asked for
            return "127.0.0.1"
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the servers."""
        return self.host in _LOOPBACK
