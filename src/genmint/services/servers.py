"""MLflow and Prefect servers: databases, command lines and health checks."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import requests
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.layout import ARTIFACTS
from genmint.common.login import read_login
from genmint.common.programs import clean_environment
from genmint.flow.home import HOME
from genmint.services.config import Services
from genmint.services.prefect_ui import copy_pages
from genmint.services.processes import MARK, Child
from genmint.tracking.store import configure, create_store, database
from genmint.tracking.ui import NOT_FOR_SERVERS, server_arguments, server_environment

_START_SECONDS = 120.0
_SECONDS_BETWEEN_KNOCKS = 0.25
# Prefect's and MLflow's migration tables have the same name, so they cannot share a database.
_SECRET = ("STORE", "ALERTS")
_MAINTENANCE = "postgres"
_PREFECT_SUFFIX = "_prefect"
# An interval of 1.5 s with Prefect's jitter of 30 % stays below 2 s.
_POLL_SECONDS = "1.5"


def services_environment(services: Services) -> dict[str, str]:
    """Return the common environment of servers, workers and flows; user settings are kept."""
    defaults = {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_WORKER_QUERY_SECONDS": _POLL_SECONDS,
        "PREFECT_WORKER_ENABLE_CANCELLATION": "true",
        "PREFECT_WORKER_CANCELLATION_POLL_SECONDS": "10",
        # 2 + 4 + … + 64 s, which is longer than the restart of a server.
        "PREFECT_CLIENT_MAX_RETRIES": "6",
        # Status of Prefect's server while its database restarts.
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
    }
    fixed = {
        MARK: services.mark,
        # Flow runs and stages are started as `python`.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        HOME: str(services.project.root),
        "PREFECT_HOME": str(services.state / "prefect"),
        "PREFECT_API_URL": services.prefect_api,
        "MLFLOW_TRACKING_URI": services.tracker,
    }
    # Only the servers need the passwords in these variables.
    inherited = {name: value for name, value in clean_environment().items() if name not in _SECRET}
    return {**defaults, **inherited, **fixed}


def tracking_store(services: Services) -> str:
    """Create MLflow's database if it is missing; return its address.

    Raises:
        GenmintError: PostgreSQL does not respond.
    """
    configure()
    if not services.on_postgresql:
        create_store(services.project)
        return f"sqlite:///{database(services.project)}"
    url = _store(services)
    _ensure_database(url)
    return _text(url)


def orchestration_store(services: Services, embedded: URL | None) -> str:
    """Create Prefect's database if it is missing; return its address.

    Args:
        services: the options.
        embedded: address of the embedded PostgreSQL, None if `services` names a store.

    Raises:
        GenmintError: PostgreSQL does not respond, or refuses to create the database.
    """
    if embedded is not None:
        beside = embedded.set(database="prefect")
        _ensure_database(beside)
    elif services.on_postgresql:
        url = _store(services)
        beside = url.set(database=f"{url.database}{_PREFECT_SUFFIX}")
        _ensure_database(beside)
    else:
        return f"sqlite+aiosqlite:///{services.state / 'prefect' / 'prefect.db'}"
    return _text(beside.set(drivername="postgresql+asyncpg"))


def _store(services: Services) -> URL:
    assert services.store is not None
    try:
        url = make_url(services.store.replace("postgres://", "postgresql://", 1))
    except (ArgumentError, ValueError):
        url = None
    if url is None or not url.database:
        raise ConfigError("STORE: write postgresql://user:password@host/name, with a name")
    return url


def _ensure_database(wanted: URL) -> None:
    """Create a database on an existing server, unless it exists."""
    try:
        _on(wanted, None)
    except OperationalError:
        preparer = create_engine(wanted).dialect.identifier_preparer
        quoted = preparer.quote(str(wanted.database))
        try:
            _on(wanted.set(database=_MAINTENANCE), f"CREATE DATABASE {quoted}")
        except SQLAlchemyError as error:
            reason = " ".join(str(error).split())[:300]
            raise GenmintError(
                f"STORE {wanted.render_as_string()}: {reason}. Start PostgreSQL, or have its "
                f"administrator create the database {wanted.database!r}."
            ) from None


def _on(url: URL, statement: str | None) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            if statement is not None:
                connection.execute(text(statement))
    finally:
        engine.dispose()


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def mlflow_server(services: Services, backend: str) -> Child:
    """Return the MLflow server process on the store that `dvc repro` uses."""
    env = server_environment(services_environment(services), backend, services.state / "mlflow")
    # With its own address the server would become its own client.
    del env["MLFLOW_TRACKING_URI"]
    if not services.is_loopback:
        port = services.mlflow_port
        names = ("localhost", "127.0.0.1", services.host, socket.gethostname(), socket.getfqdn())
        allowed = ",".join(f"{name},{name}:{port}" for name in dict.fromkeys(names))
        env.setdefault("MLFLOW_SERVER_ALLOWED_HOSTS", allowed)
    home = services.project.home
    artifacts = services.artifacts or (home / ARTIFACTS).as_uri()
    arguments = server_arguments(artifacts, services.host, services.mlflow_port)
    return Child(
        "mlflow", [sys.executable, *arguments], env, home, services.state / "logs" / "mlflow.log"
    )


def prefect_server(services: Services, backend: str) -> Child:
    """Return the process with Prefect's API, UI, scheduler and automations."""
    known = services_environment(services)
    env = {name: value for name, value in known.items() if name not in NOT_FOR_SERVERS}
    env["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = backend
    # The browser may run on another machine than the workers.
    env.setdefault("PREFECT_UI_API_URL", "/api")
    if not {"PREFECT_UI_STATIC_DIRECTORY", "PREFECT_UI_SERVE_BASE"} & env.keys():
        pages = services.state / "prefect-ui"
        copy_pages(pages)
        env["PREFECT_UI_STATIC_DIRECTORY"] = str(pages)
    # Banners of Prefect's paid service.
    env.setdefault("PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT", "false")
    # Otherwise any page open in a local browser could read the API and run commands with it.
    names = dict.fromkeys(("127.0.0.1", "localhost", services.host))
    origins = (f"http://{name}:{services.prefect_port}" for name in names)
    env["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(origins)
    env["PREFECT_SERVER_CSRF_PROTECTION_ENABLED"] = "true"
    login = read_login()
    if login is not None:
        env["PREFECT_SERVER_API_AUTH_STRING"] = f"{login.user}:{login.password}"
    arguments = [
        *(sys.executable, "-m", "prefect", "server", "start"),
        *("--host", services.host, "--port", str(services.prefect_port)),
    ]
    home = services.project.home
    return Child("prefect", arguments, env, home, services.state / "logs" / "prefect.log")


def wait_until_healthy(
    services: Services, children: dict[str, Child], tick: Callable[[], None]
) -> None:
    """Wait for both servers; `tick` is called meanwhile and may raise.

    Raises:
        GenmintError: a server ended, or does not respond within two minutes; the message names its
            log.
    """
    knocks = {
        "mlflow": f"{services.tracker}/health",
        "prefect": f"{services.prefect_api}/health",
    }
    deadline = time.monotonic() + _START_SECONDS
    while knocks:
        name, address = next(iter(knocks.items()))
        child = children[name]
        if (status := child.died()) is not None:
            raise GenmintError(f"{name} ended with {status} at its start: see {child.log}")
        if time.monotonic() > deadline:
            raise GenmintError(f"{name} does not answer at {address}: see {child.log}")
        tick()
        if responds(address):
            del knocks[name]
        else:
            time.sleep(_SECONDS_BETWEEN_KNOCKS)


def responds(address: str) -> bool:
    """Return whether `address` responds with HTTP status 2xx within two seconds."""
    try:
        return requests.get(address, timeout=2).ok
    except requests.RequestException:
        return False
