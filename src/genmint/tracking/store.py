"""Tracker address, embedded store, and look-up of experiments and runs.

Without `MLFLOW_TRACKING_URI` the store is embedded: `mlflow.db` and `mlartifacts/` in the project's
home, shared by all its checkouts. Otherwise the named server or database is used.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import requests
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from genmint.common.errors import GenmintError, RegistryMissingError
from genmint.common.exhaustion import disk_full, full_disk_at
from genmint.common.file_lock import place_of
from genmint.common.files import apply_umask, file_mode, scratch_dir
from genmint.common.layout import ARTIFACTS
from genmint.common.loopback import bypass_proxies
from genmint.common.project import HOME, Project
from genmint.tracking.address import TRACKING, database_of, named_address
from genmint.tracking.failures import as_registry_error, without_password
from genmint.tracking.relocation import relocate
from genmint.tracking.request import knock

EXPERIMENT = "genmint"
# Short timeouts for interactive use; `transfer` extends them for files.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
_LOCK_SECONDS = 120.0
# Exceptions of MLflow, its HTTP client, its database, and the direct access to the embedded store.
_FAILURES = (
    MlflowException,
    requests.RequestException,
    SQLAlchemyError,
    sqlite3.Error,
    Timeout,
)
_DATABASE_LOGGER = "mlflow.store.db.utils"
_IO_ERROR = "disk I/O error"
# Trackers that choose the artefact location themselves.
_SERVED = ("http://", "https://", "databricks", "uc:")


def configure() -> None:
    """Set MLflow's environment defaults: short timeouts, few retries, no telemetry.

    Variables that the user set are kept. Proxies are bypassed for this machine.

    MLflow reads these variables at each request, so the call may follow its import. Failures of its
    database are no longer logged, since they are raised.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    bypass_proxies(os.environ)
    # Adding a filter that is already present has no effect.
    logging.getLogger(_DATABASE_LOGGER).addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a log message of MLflow's database layer adds to its exception.

    The layer logs each database failure with a traceback before it raises the same failure, which
    `reaching` turns into one sentence.
    """
    return not str(record.msg).startswith("SQLAlchemy database error")


def database(project: Project) -> Path:
    """Return the path of the embedded store's database; it need not exist."""
    return project.home / "mlflow.db"


def is_embedded() -> bool:
    """Whether the environment names no tracking server."""
    return not os.environ.get(TRACKING)


def uri(project: Project) -> str:
    """Return the address of the tracker: `MLFLOW_TRACKING_URI`, or that of the embedded store.

    Raises:
        ConfigError: the environment names an invalid address; see `named_address`.
    """
    return named_address(project) or f"sqlite:///{database(project)}"


@contextlib.contextmanager
def reaching(address: str) -> Iterator[None]:
    """Convert tracker failures inside the `with` block into one genmint error.

    Raises:
        DiskFullError: the disk of the embedded store is full.
        RegistryError: any other failure of MLflow, its HTTP client or its database, converted by
            `failures.explained`.
    """
    try:
        yield
    except _FAILURES as error:
        _full_disk(error, address)
        raise as_registry_error(address, error) from error


def _full_disk(error: Exception, address: str) -> None:
    """Raise DiskFullError if a full disk made a database without a server fail.

    SQLite has two messages for it: "database or disk is full", and "disk I/O error" if its journal
    could not be written. The second can also mean a broken disk. The function therefore tests the
    disk with a file of its own, since others may be writing to the database.

    Raises:
        DiskFullError: the disk is full.
    """
    shown = without_password(address)
    disk_full(error, shown)
    file = database_of(address)
    if file is not None and _IO_ERROR in str(error):
        full_disk_at(file.parent, shown)


def connect(project: Project) -> MlflowClient:
    """Return a client of a tracker that responded; create the embedded store if missing.

    Raises:
        RegistryError: the tracker does not respond within seconds, rejects the request, or is not a
            tracker.
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
            knock(address)
        client = MlflowClient(tracking_uri=address, registry_uri=address)
        client.search_registered_models(max_results=1)
        if not is_embedded():
            # Parts of MLflow read the variable themselves and would resolve it against their
            # folder.
            os.environ[TRACKING] = address
            if not address.startswith(_SERVED):
                _create_experiment(client, project.home / ARTIFACTS)
    return client


def check_tracker(project: Project) -> str:
    """Return a line with the tracker's address after contacting it; creates no store.

    Raises:
        RegistryError: the tracker does not respond, or rejects the request.
    """
    if is_embedded() and not database(project).exists():
        return f"{uri(project)}: not created yet; the first training run creates it"
    connect(project)
    return f"{without_password(uri(project))} answers"


def create_store(project: Project) -> None:
    """Create the embedded store if it is missing, atomically and safe for concurrent processes.

    Several processes that open a new store at once all fail. The schema is therefore built in a
    temporary file under a lock, which then replaces the target. In a moved or copied checkout, the
    artefact addresses are updated (see `relocation`).

    Raises:
        GenmintError: the store would lie in a checkout that is deleted when its flow ends.
    """
    target = database(project)
    artifacts = project.home / ARTIFACTS
    if target.exists():
        relocate(target, artifacts)
        return
    if Project(project.home).is_temporary:
        raise GenmintError(
            f"{project.home}: is deleted when its flow or experiment ends, so no registry is made "
            f"here. Set MLFLOW_TRACKING_URI, or {HOME} to the checkout that keeps the registry."
        )
    state = Project(project.home).state
    state.mkdir(parents=True, exist_ok=True)
    with FileLock(place_of(state / "mlflow.lock"), timeout=_LOCK_SECONDS, mode=file_mode()):
        if target.exists():
            return
        with scratch_dir(state) as folder:
            fresh = folder / "mlflow.db"
            _build_store(fresh, artifacts)
            apply_umask(fresh)
            fresh.replace(target)


def _create_named(target: Path) -> None:
    """Create a SQLite database named by the environment, with its artefacts beside it.

    MLflow itself would put the artefacts into the current working directory.
    """
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_dir(target.parent) as folder:
        fresh = folder / target.name
        _build_store(fresh, target.parent / ARTIFACTS)
        apply_umask(fresh)
        # A hard link, not a rename: another process may have created the file and hold runs in it.
        with contextlib.suppress(FileExistsError):
            target.hardlink_to(fresh)


def _create_experiment(client: MlflowClient, artifacts: Path) -> None:
    """Create the experiment in a database without a server, with an explicit artefact location."""
    if client.get_experiment_by_name(EXPERIMENT) is None:
        try:
            client.create_experiment(
                EXPERIMENT, artifact_location=(artifacts / EXPERIMENT).as_uri()
            )
        except MlflowException:
            # Another process may have created it first; any other failure makes this request fail
            # or return None.
            if client.get_experiment_by_name(EXPERIMENT) is None:
                raise


def _build_store(database_file: Path, artifacts: Path) -> None:
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    # It logs each migration, which is of no use here.
    logging.getLogger(_DATABASE_LOGGER).setLevel(logging.WARNING)
    address = f"sqlite:///{database_file}"
    store = SqlAlchemyStore(address, artifacts.as_uri())
    registry = RegistryStore(address)
    store.create_experiment(EXPERIMENT, artifact_location=(artifacts / EXPERIMENT).as_uri())
    store.engine.dispose()
    registry.engine.dispose()


def experiment_id(client: MlflowClient) -> str:
    """Return the id of the experiment `genmint`; create it on a server that lacks it.

    Raises:
        RegistryMissingError: the experiment was deleted. It is not restored automatically, since
            that would also restore its runs.
    """
    known = _known_experiment(client)
    if known is not None:
        return known
    try:
        return str(client.create_experiment(EXPERIMENT))
    except MlflowException:
        # Another process may have created it first; any other failure makes this request fail or
        # return None.
        known = _known_experiment(client)
        if known is None:
            raise
        return known


def _known_experiment(client: MlflowClient) -> str | None:
    """Return the id of the experiment `genmint`, None if there is none.

    Raises:
        RegistryMissingError: the experiment was deleted.
    """
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return None
    if experiment.lifecycle_stage != "active":
        shown = without_password(str(client.tracking_uri))
        raise RegistryMissingError(
            f"{shown}: the experiment `{EXPERIMENT}` was deleted in MLflow, and its runs with it. "
            f"Restore it: `MLFLOW_TRACKING_URI={shown} mlflow experiments restore "
            f"--experiment-id {experiment.experiment_id}`."
        )
    return str(experiment.experiment_id)


def find_run(client: MlflowClient, name: str, weights_sha256: str) -> str | None:
    """Return the id of the latest run of model `name` with these weights, None if unknown.

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
