"""MLflow server on a store, for `genmint ui` and `genmint services`."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from genmint.common.errors import ConfigError
from genmint.common.layout import ARTIFACTS
from genmint.common.login import VARIABLE as LOGIN
from genmint.common.login import read_login, refuse_open
from genmint.common.project import Project
from genmint.common.project_key import VARIABLE as SIGNING_KEY
from genmint.tracking.basic_auth import protect
from genmint.tracking.failures import without_password
from genmint.tracking.store import configure, create_store, database, is_embedded, uri

# Secrets that clients need and that a server reachable by others must not have.
NOT_FOR_SERVERS = (
    LOGIN,
    SIGNING_KEY,
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "PREFECT_API_AUTH_STRING",
)

_PATIENCE_SECONDS = 5.0
_HIGHEST_PORT = 65535


def serve_ui(project: Project, host: str, port: int, *, insecure: bool = False) -> int:
    """Serve MLflow's UI on the embedded store until Ctrl-C; return the exit code.

    Args:
        project: project of the store.
        host: address to listen on.
        port: port to listen on.
        insecure: whether other machines may connect without a login.

    Raises:
        ConfigError: the environment names a tracking server, the port is taken, or other machines
            could connect without a login.
    """
    refuse_open(host, insecure=insecure)
    if not is_embedded():
        address = without_password(uri(project))
        raise ConfigError(f"MLFLOW_TRACKING_URI is set: the UI is at {address}")
    check_free(host, port, "--port")
    configure()
    create_store(project)
    artifacts = (project.home / ARTIFACTS).as_uri()
    command = [sys.executable, *server_arguments(artifacts, host, port)]
    backend = f"sqlite:///{database(project)}"
    env = server_environment(os.environ, backend, Project(project.home).state / "ui")
    sys.stdout.write(f"MLflow: http://{host}:{port} (Ctrl-C ends it)\n")
    sys.stdout.flush()
    # MLflow starts child processes; a process group ensures that none outlives the UI.
    server = subprocess.Popen(command, cwd=project.home, env=env, start_new_session=True)
    try:
        return server.wait()
    except KeyboardInterrupt:
        return 130
    finally:
        _end(server)


def server_environment(base: Mapping[str, str], backend: str, users: Path) -> dict[str, str]:
    """Return the environment of MLflow's server; a password in its arguments would be visible.

    Args:
        base: base environment, for example `os.environ`.
        backend: address of the database.
        users: folder of MLflow's user database, used if GENMINT_LOGIN is set.
    """
    own = {} if read_login() is None else protect(users)
    # MLflow's job execution starts several processes, and genmint does not use it.
    jobs = "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"
    kept = {name: value for name, value in base.items() if name not in NOT_FOR_SERVERS}
    return {jobs: "false", **kept, **own, "MLFLOW_BACKEND_STORE_URI": backend}


def server_arguments(artifacts: str, host: str, port: int) -> list[str]:
    """Return Python's arguments for MLflow's server; `server_environment` sets its database."""
    return [
        *("-m", "mlflow", "server"),
        *("--artifacts-destination", artifacts),
        *("--host", host, "--port", str(port), "--workers", "1"),
        *(() if read_login() is None else ("--app-name", "basic-auth")),
    ]


def check_free(host: str, port: int, option: str) -> None:
    """Check that a server can listen on an address.

    Raises:
        ConfigError: it cannot; the message names `option`.
    """
    if not 0 <= port <= _HIGHEST_PORT:
        raise ConfigError(f"{option} {port}: a port is a number from 0 to {_HIGHEST_PORT}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(f"{host}:{port}: {error.strerror}; choose another {option}") from None


def _end(server: subprocess.Popen[bytes]) -> None:
    """Stop the server's process group with SIGTERM, then with SIGKILL."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, ending)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(_PATIENCE_SECONDS)
