"""Validated, immutable options of `genmint services`."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from genmint.common.errors import ConfigError
from genmint.common.login import refuse_open
from genmint.common.loopback import is_loopback, reachable
from genmint.common.project import Project
from genmint.services import alerts

SQLITE = "sqlite"
_WORKER_NAME = re.compile(r"[\w.-]+")


def services_state(project: Project) -> Path:
    """Return the folder of process ids, logs and Prefect's home, the same for all checkouts."""
    return Project(project.home).state / "services"


@dataclass(frozen=True)
class Services:
    """The options of `genmint services`.

    Attributes:
        project: checkout whose prefect.yaml is deployed and whose store MLflow serves.
        host: address that both servers listen on; loopback by default.
        mlflow_port: port of MLflow.
        prefect_port: port of Prefect.
        store: `postgresql://…` or "sqlite", for both servers; None: MLflow on mlflow.db, as for
            `dvc repro`, and Prefect on an embedded PostgreSQL.
        artifacts: artefact location of MLflow, such as `s3://bucket/mlflow`; None: mlartifacts/ of
            the repository.
        workers: number of CPU workers of the pool gpu if no GPU is visible; 0: training runs on
            other machines.
        name: name of this machine; part of its workers' names.
        servers: False on a further machine, whose workers use the servers in PREFECT_API_URL and
            MLFLOW_TRACKING_URI.
        alerts: Apprise URLs or plain webhooks that receive alerts.
        refusals: number of refusals of a model in a row that triggers an alert.
        insecure: whether other machines may connect without a login.
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
    insecure: bool = False

    def __post_init__(self) -> None:
        """Validate the options.

        Raises:
            ConfigError: an option is out of range; the message names it.
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
        if self.servers:
            refuse_open(self.host, insecure=self.insecure)
        if not self.servers:
            self._check_remote()
        elif self.alerts:
            alerts.check_urls(self.alerts)

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
        """Whether the store is a PostgreSQL server."""
        return (self.store or "").startswith(("postgresql://", "postgres://"))

    @property
    def state(self) -> Path:
        """Folder of process ids, logs and Prefect's home; its path marks the child processes."""
        return services_state(self.project)

    @property
    def mark(self) -> str:
        """Value of the environment variable that marks every process started here."""
        return str(self.state)

    @property
    def machine(self) -> str:
        """Name of this machine, used in worker names."""
        return self.name or socket.gethostname()

    @property
    def prefect_api(self) -> str:
        """API address of Prefect for workers and flows."""
        if not self.servers:
            return os.environ["PREFECT_API_URL"]
        return f"http://{self.reachable}:{self.prefect_port}/api"

    @property
    def tracker(self) -> str:
        """Address of MLflow for training runs."""
        if not self.servers:
            return os.environ["MLFLOW_TRACKING_URI"]
        return f"http://{self.reachable}:{self.mlflow_port}"

    @property
    def reachable(self) -> str:
        """Address of `host` that a client on this machine can connect to."""
        return reachable(self.host)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the servers."""
        return is_loopback(self.host)
