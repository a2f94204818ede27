"""Upload of files to a tracker, with timeouts that depend on their size."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path, PurePosixPath

import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from genmint.common.errors import ConfigError, RegistryError
from genmint.tracking.failures import Sent, as_registry_error, is_unanswered
from genmint.tracking.request import knock
from genmint.tracking.transfer_time import time_for


def upload(client: MlflowClient, run_id: str, path: Path, folder: str = "") -> None:
    """Upload a file to a folder of a run's artefacts.

    Raises:
        RegistryError: the server, or a proxy before it, does not accept the file; the message names
            the file, its size and who rejects it.
        MlflowException: there is no such run, or a tracker without a server failed.
    """
    size = path.stat().st_size
    with time_for(size) as seconds:
        try:
            client.log_artifact(run_id, str(path), folder or None)
        except (MlflowException, requests.RequestException) as error:
            address = str(client.tracking_uri)
            is_missing = isinstance(error, MlflowException) and _is_missing(error)
            if is_missing or not address.startswith(("http://", "https://")):
                raise
            answers = is_unanswered(error) and _answers(address)
            name = str(PurePosixPath(folder, path.name))
            raise as_registry_error(address, error, Sent(name, size, answers, seconds)) from error


def upload_folder(client: MlflowClient, run_id: str, source: Path, folder: str) -> None:
    """Upload all files below `source` to a folder of a run's artefacts.

    Raises:
        RegistryError, MlflowException: see `upload`.
    """
    for path in sorted(each for each in source.rglob("*") if each.is_file()):
        above = path.relative_to(source).parent.as_posix()
        upload(client, run_id, path, str(PurePosixPath(folder, above)))


def _is_missing(error: MlflowException) -> bool:
    """Whether the run does not exist."""
    return bool(error.get_http_status_code() == HTTPStatus.NOT_FOUND)


def _answers(address: str) -> bool:
    try:
        knock(address)
    except (MlflowException, RegistryError, ConfigError):
        return False
    return True
