"""The tracker's address, its embedded store, and finding things in it.

Without `MLFLOW_TRACKING_URI` the store is embedded: `mlflow.db` and `mlartifacts/` in the project's
home, shared by all its checkouts. With it, a server is used, unchanged otherwise.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import requests
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from genmint.errors import GenmintError, RegistryMissingError
from genmint.exhaustion import disk_full, full_disk_at
from genmint.files import apply_umask, file_mode
from genmint.project import HOME, Project
from genmint.tracking.address import TRACKING, database_of, named_address
from genmint.tracking.failures import explained, without_password
from genmint.tracking.relocation import relocate

EXPERIMENT = "genmint"
# A person waits for these: mlflow's own defaults (120 s, 7 retries) hide a dead server for minutes.
_CONNECT_SECONDS = 3.05
_ANSWER_SECONDS = 10.0
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
_LOCK_SECONDS = 120.0
# What mlflow, its HTTP client, its database and our own look into the embedded store raise.
_FAILURES = (
    MlflowException,
    requests.RequestException,
    SQLAlchemyError,
    sqlite3.Error,
    Timeout,
)
_ARTIFACTS = "mlartifacts"
_DATABASE_LOGGER = "mlflow.store.db.utils"
_IO_ERROR = "disk I/O error"
# Trackers that place artefacts themselves.
_SERVED = ("http://", "https://", "databricks", "uc:")


def configure() -> None:
    """Set mlflow's environment where the user did not: short time-outs, few retries, no telemetry.

    mlflow reads these variables at each request, so this may run after its import. Failures of its
    database are no longer logged, since they are raised.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    # Adding a filter that is there already does nothing.
    logging.getLogger(_DATABASE_LOGGER).addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a message of MLflow's database layer says what its exception does not say.

    It logs each failure of the database with its traceback before it raises the same failure,
    from which `reaching` makes one sentence.
    """
    return not str(record.msg).startswith("SQLAlchemy database error")


def database(project: Project) -> Path:
    """Return the embedded store's file; it need not exist."""
    return project.home / "mlflow.db"


def is_embedded() -> bool:
    """Whether no tracking server was named."""
    return not os.environ.get(TRACKING)


def uri(project: Project) -> str:
    """Address of the tracker: `MLFLOW_TRACKING_URI`, or that of the embedded store.

    Raises:
        ConfigError: the environment names a place that keeps nothing; see `named_address`.
    """
    return named_address(project) or f"sqlite:///{database(project)}"


@contextlib.contextmanager
def reaching(address: str) -> Iterator[None]:
    """Turn whatever stands between us and the tracker into one clear error.

    Raises:
        DiskFullError: the disk below the embedded store is full.
        RegistryError: of the kind that `failures.explained` makes of whatever mlflow, its HTTP
            client or its database raised.

    """
    try:
        yield
    except _FAILURES as error:
        _full_disk(error, address)
        raise explained(address, error) from error


def _full_disk(error: Exception, address: str) -> None:
    """Raise what a full disk means, if that is why a database without a server failed.

    SQLite has two messages for it: "database or disk is full", and "disk I/O error" where it was
    its journal that could not be written. The second can also be a broken disk, so this asks the
    disk, with a file of its own: others may be writing into the database.

    Raises:
        DiskFullError: the disk is full.
    """
    shown = without_password(address)
    disk_full(error, shown)
    file = database_of(address)
    if file is not None and _IO_ERROR in str(error):
        full_disk_at(file.parent, shown)


def connect(project: Project) -> MlflowClient:
    """Return a client of a tracker that has just answered; create the embedded store if missing.

    Raises:
        RegistryError: it does not answer within seconds, refuses, or is not a tracker.

    """
    configure()
    address = uri(project)
    with reaching(address):
        named = database_of(address)
        if is_embedded() or named == database(project):
            create_store(project)
        elif named is not None:
            _create_named(named)
        elif address.startswith(("http://", "https://")):
            _knock(address)
        client = MlflowClient(tracking_uri=address, registry_uri=address)
        client.search_registered_models(max_results=1)
        if not is_embedded():
            # For the parts of MLflow that read it themselves: they would take it from their folder.
            os.environ[TRACKING] = address
            if not address.startswith(_SERVED):
                _create_experiment(client, project.home / _ARTIFACTS)
    return client


def check(project: Project) -> str:
    """Say in a line where the tracker is, having asked it; creates no store.

    Raises:
        RegistryError: it does not answer, or refuses.
    """
    if is_embedded() and not database(project).exists():
        return f"{uri(project)}: not created yet; the first training does"
    connect(project)
    return f"{without_password(uri(project))} answers"


def create_store(project: Project) -> None:
    """Create the embedded store if it is missing: once, whole, however many processes ask.

    Six processes that open a fresh store at once make all six fail, so the schema is built in a
    temporary file under a lock and then takes its place. In a checkout that was moved or copied,
    the store is made to find its artefacts there (see `relocation`).

    Raises:
        GenmintError: the store would lie in a checkout that is deleted when its flow ends.
    """
    target = database(project)
    artifacts = project.home / _ARTIFACTS
    if target.exists():
        relocate(target, artifacts)
        return
    if Project(project.home).is_temporary:
        raise GenmintError(
            f"{project.home}: is deleted when its flow or experiment ends, so no registry is made "
            f"here. Set MLFLOW_TRACKING_URI, or {HOME} to the checkout that keeps the registry."
        )
    state = project.home / ".genmint"
    state.mkdir(parents=True, exist_ok=True)
    with FileLock(state / "mlflow.lock", timeout=_LOCK_SECONDS, mode=file_mode()):
        if target.exists():
            return
        with tempfile.TemporaryDirectory(prefix="mlflow.", dir=state) as folder:
            fresh = Path(folder) / "mlflow.db"
            _build_store(fresh, artifacts)
            apply_umask(fresh)
            fresh.replace(target)


def _create_named(target: Path) -> None:
    """Create a SQLite database that the environment names, with its artefacts beside it.

    MLflow itself would put them into the folder that this process happens to work in.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        fresh = Path(folder) / target.name
        _build_store(fresh, target.parent / _ARTIFACTS)
        apply_umask(fresh)
        # Not a rename: somebody else may have been quicker, and have runs in it.
        with contextlib.suppress(FileExistsError):
            target.hardlink_to(fresh)


def _create_experiment(client: MlflowClient, artifacts: Path) -> None:
    """Create the experiment of a database without a server, whose artefacts are ours to place."""
    if client.get_experiment_by_name(EXPERIMENT) is None:
        try:
            client.create_experiment(
                EXPERIMENT, artifact_location=(artifacts / EXPERIMENT).as_uri()
            )
        except MlflowException:
            # Somebody else was quicker; any other failure shows in the answer to this question.
            if client.get_experiment_by_name(EXPERIMENT) is None:
                raise


def _build_store(database_file: Path, artifacts: Path) -> None:
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    # It announces each of its migrations, which is no news to anybody.
    logging.getLogger(_DATABASE_LOGGER).setLevel(logging.WARNING)
    address = f"sqlite:///{database_file}"
    store = SqlAlchemyStore(address, artifacts.as_uri())
    registry = RegistryStore(address)
    store.create_experiment(EXPERIMENT, artifact_location=(artifacts / EXPERIMENT).as_uri())
    store.engine.dispose()
    registry.engine.dispose()


def experiment_id(client: MlflowClient) -> str:
    """Id of the experiment `genmint`, created on a server that does not have it yet.

    Raises:
        RegistryMissingError: somebody deleted it. It is not restored unasked: its runs would come
            back with it.
    """
    known = _known_experiment(client)
    if known is not None:
        return known
    try:
        return str(client.create_experiment(EXPERIMENT))
    except MlflowException:
        # Somebody else was quicker; any other failure shows in the answer to this question.
        known = _known_experiment(client)
        if known is None:
            raise
        return known


def _known_experiment(client: MlflowClient) -> str | None:
    """Id of the experiment `genmint`, None if there is none.

    Raises:
        RegistryMissingError: somebody deleted it.
    """
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        return None
    if found.lifecycle_stage != "active":
        shown = without_password(str(client.tracking_uri))
        raise RegistryMissingError(
            f"{shown}: the experiment `{EXPERIMENT}` was deleted in MLflow, and its runs with it. "
            f"Restore it: `MLFLOW_TRACKING_URI={shown} mlflow experiments restore "
            f"--experiment-id {found.experiment_id}`."
        )
    return str(found.experiment_id)


def find_run(client: MlflowClient, name: str, weights_sha256: str) -> str | None:
    """Id of the latest run of model `name` that made these weights, if the tracker knows one.

    Raises:
        RegistryMissingError: the experiment was deleted.
    """
    experiment = _known_experiment(client)
    if experiment is None:
        return None
    runs = client.search_runs(
        [experiment],
        filter_string=(
            f"tags.`genmint.weights` = '{weights_sha256}' AND tags.`genmint.model` = '{name}'"
        ),
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return str(runs[0].info.run_id) if runs else None


def _knock(address: str) -> None:
    """Ask a server for its health with a short time-out; any HTTP answer will do here."""
    requests.get(
        f"{address.rstrip('/')}/health",
        timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS),
        allow_redirects=False,
    )
