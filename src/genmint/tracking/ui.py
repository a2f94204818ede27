"""MLflow server on a store, for `genmint ui` and `genmint services`."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import webbrowser
from collections.abc import Mapping
from pathlib import Path

import requests

from genmint.common.errors import ConfigError
from genmint.common.layout import ARTIFACTS
from genmint.common.login import VARIABLE as LOGIN
from genmint.common.login import read_login, refuse_open
from genmint.common.loopback import reachable
from genmint.common.project import Project
from genmint.common.project_key import VARIABLE as SIGNING_KEY
from genmint.tracking.basic_auth import protect
from genmint.tracking.failures import without_password
from genmint.tracking.saved_view import VIEW, VIEW_TAG, saved_view
from genmint.tracking.store import (
    EXPERIMENT,
    configure,
    create_store,
    database,
    is_embedded,
    uri,
)

# Secrets that clients need and that a server reachable by others must not have.
NOT_FOR_SERVERS = (
    LOGIN,
    SIGNING_KEY,
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "PREFECT_API_AUTH_STRING",
)

# A line for each request would hide the address.
_QUIET = ("--uvicorn-opts", "--log-level warning")
_STDERR = 2
_LAST_PORT = 65535
_PATIENCE_SECONDS = 5.0
_SECONDS_BETWEEN_POLLS = 0.2
_BUSY_SECONDS = 60.0
_TRAINING = "workflowType=machine_learning"


def serve_ui(
    project: Project, host: str, port: int, *, insecure: bool = False, show: bool = False
) -> int:
    """Serve MLflow's UI on the embedded store until Ctrl-C; return the exit code.

    Prints the address of the runs once the server answers. The server and the processes it starts
    end with this one, also if this one is killed.

    Args:
        project: project of the store.
        host: address to listen on.
        port: port to listen on.
        insecure: whether other machines may connect without a login.
        show: whether to open the runs in a browser.

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
    arguments = [*server_arguments(artifacts, host, port), *_QUIET]
    command = [sys.executable, "-m", "genmint.common.process_group", sys.executable, *arguments]
    backend = f"sqlite:///{database(project)}"
    env = server_environment(os.environ, backend, Project(project.home).state / "ui")
    server = subprocess.Popen(
        command,
        cwd=project.home,
        env=env,
        stdin=subprocess.PIPE,
        # The address alone goes to stdout.
        stdout=_STDERR,
        start_new_session=True,
    )
    try:
        address = f"http://{reachable(host)}:{port}"
        if _answers(server, address):
            page = f"{address}/{runs_page(database(project))}"
            sys.stdout.write(f"MLflow: {page} (Ctrl-C ends it)\n")
            sys.stdout.flush()
            if show:
                webbrowser.open(page)
        return server.wait()
    except KeyboardInterrupt:
        return 130
    finally:
        _end(server)


def runs_page(store: Path) -> str:
    """Return the path of the page with the runs, in MLflow's UI on an embedded store.

    MLflow's start page is about traces of language models, and so is its page of an experiment
    without a workflow type. The page shows a view (`saved_view`), which is saved in the experiment
    unless it has one of that name.
    """
    with (
        contextlib.closing(sqlite3.connect(store, timeout=_BUSY_SECONDS)) as connection,
        connection,
    ):
        row = connection.execute(
            "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'active'",
            (EXPERIMENT,),
        ).fetchone()
        if row is None:
            # It was deleted in the UI, where it can be restored.
            return f"#/experiments?{_TRAINING}"
        connection.execute(
            "INSERT OR IGNORE INTO experiment_tags (key, value, experiment_id) VALUES (?, ?, ?)",
            (VIEW_TAG, saved_view(time.time_ns() // 1_000_000), row[0]),
        )
    return f"#/experiments/{row[0]}/runs?{_TRAINING}&viewStateShareKey={VIEW}"


def _answers(server: subprocess.Popen[bytes], address: str) -> bool:
    """Wait until the server answers; return False if it ended instead."""
    with requests.Session() as session:
        # The server is on this machine, so no proxy is asked.
        session.trust_env = False
        while server.poll() is None:
            with contextlib.suppress(requests.RequestException):
                if session.get(f"{address}/health", timeout=2).ok:
                    return True
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(_SECONDS_BETWEEN_POLLS)
    return False


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
    # Warnings of MLflow's dependencies are for its developers, and would hide the address.
    defaults = {jobs: "false", "PYTHONWARNINGS": "ignore"}
    kept = {name: value for name, value in base.items() if name not in NOT_FOR_SERVERS}
    return {**defaults, **kept, **own, "MLFLOW_BACKEND_STORE_URI": backend}


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
    if not 1 <= port <= _LAST_PORT:
        raise ConfigError(f"{option} {port}: a port is a number from 1 to {_LAST_PORT}")
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
