"""MLflow's own server on a store: for `genmint ui`, and for `genmint services`."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping

from genmint.errors import ConfigError
from genmint.project import Project
from genmint.tracking.failures import without_password
from genmint.tracking.store import configure, create_store, database, is_embedded, uri

_PATIENCE_SECONDS = 5.0


def serve_ui(project: Project, host: str, port: int) -> int:
    """Serve MLflow's UI on the embedded store until Ctrl-C; return the exit code.

    Raises:
        ConfigError: a tracking server is named already, or the port is taken.
    """
    if not is_embedded():
        address = without_password(uri(project))
        raise ConfigError(f"MLFLOW_TRACKING_URI is set: the UI is at {address}")
    check_free(host, port, "--port")
    configure()
    create_store(project)
    artifacts = (project.home / "mlartifacts").as_uri()
    command = [sys.executable, *server_arguments(artifacts, host, port)]
    env = server_environment(os.environ, f"sqlite:///{database(project)}")
    sys.stdout.write(f"MLflow: http://{host}:{port} (Ctrl-C ends it)\n")
    sys.stdout.flush()
    # MLflow starts processes of its own: they get a group, so that none outlives the UI.
    server = subprocess.Popen(command, cwd=project.home, env=env, start_new_session=True)
    try:
        return server.wait()
    except KeyboardInterrupt:
        return 130
    finally:
        _end(server)


def server_environment(base: Mapping[str, str], backend: str) -> dict[str, str]:
    """Environment of MLflow's server on a database; on its command line all would read a password.

    Args:
        base: what the server is given besides, such as `os.environ`.
        backend: address of the database.
    """
    # Its jobs run in several processes of their own, and nothing here asks for one.
    jobs = "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"
    return {jobs: "false", **base, "MLFLOW_BACKEND_STORE_URI": backend}


def server_arguments(artifacts: str, host: str, port: int) -> list[str]:
    """Arguments of python for MLflow's server; see `server_environment` for its database."""
    return [
        *("-m", "mlflow", "server"),
        *("--artifacts-destination", artifacts),
        *("--host", host, "--port", str(port), "--workers", "1"),
    ]


def check_free(host: str, port: int, option: str) -> None:
    """Make sure that a server can listen there.

    Raises:
        ConfigError: it cannot; the message names `option`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(f"{host}:{port}: {error.strerror}; choose another {option}") from None


def _end(server: subprocess.Popen[bytes]) -> None:
    """Stop the whole group of the server: politely, then for good."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, ending)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(_PATIENCE_SECONDS)
