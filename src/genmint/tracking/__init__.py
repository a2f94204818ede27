"""MLflow tracker: connection, embedded store, runs and their provenance."""

from genmint.tracking.provenance import (
    DatasetInfo,
    data_hashes,
    environment_tags,
    flatten,
    git_state,
    model_hashes,
    user,
)
from genmint.tracking.recreate import recreate_run
from genmint.tracking.reporter import RunReporter, start_run
from genmint.tracking.store import (
    EXPERIMENT,
    check_tracker,
    configure,
    connect,
    create_store,
    database,
    experiment_id,
    find_run,
    is_embedded,
    reaching,
    uri,
)
from genmint.tracking.transfer import upload, upload_folder

__all__ = [
    "EXPERIMENT",
    "DatasetInfo",
    "RunReporter",
    "check_tracker",
    "configure",
    "connect",
    "create_store",
    "data_hashes",
    "database",
    "environment_tags",
    "experiment_id",
    "find_run",
    "flatten",
    "git_state",
    "is_embedded",
    "model_hashes",
    "reaching",
    "recreate_run",
    "start_run",
    "upload",
    "upload_folder",
    "uri",
    "user",
]
