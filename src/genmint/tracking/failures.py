"""What stands between us and the tracker, said as what it is, with the way out.

Only silence and a server's own failure may be gone at the next attempt. "No such thing", "not
allowed" and "not accepted" are answers: they are neither retried nor waited for.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from functools import cache
from pathlib import Path

import requests
from mlflow.exceptions import MlflowException

from genmint.errors import (
    RegistryDeniedError,
    RegistryError,
    RegistryMissingError,
    RegistryRefusedError,
    RegistryUnreachableError,
)

_LONGEST_REASON = 300
# How SQLAlchemy quotes a failure of the database; that a row is there already is none.
_DATABASE = re.compile(r"\((?:sqlite3|psycopg2|pymysql)\.(?:\w+\.)?(?:Operational|Database)Error\)")
# MLflow turns every status that it does not know into 500; its message has the one that came.
_STATUS = re.compile(r"(?:failed with error code|too many) (\d{3})\b")


def explained(address: str, error: Exception) -> RegistryError:
    """Turn an error of mlflow, its HTTP client or its database into ours.

    Args:
        address: of the tracker.
        error: what was raised.
    """
    shown = without_password(address)
    text = str(error)
    if "Detected out-of-date database schema" in text:
        return RegistryRefusedError(
            f"{shown}: made by another version of mlflow. Back it up, then run "
            f"`mlflow db upgrade {shown}`."
        )
    if "Invalid Host header" in text:
        return RegistryDeniedError(
            f"{shown}: the MLflow server refuses this host name. Start it with "
            "MLFLOW_SERVER_ALLOWED_HOSTS naming it."
        )
    reason = " ".join(text.split())[:_LONGEST_REASON] or type(error).__name__
    if address.startswith("sqlite:"):
        forbidden = _forbidden(address)
        if forbidden is not None:
            return RegistryDeniedError(f"{shown}: this user may not {forbidden} it ({reason}).")
    # MLflow calls whatever its database refuses a bad request.
    status = None if _DATABASE.search(text) else _status(error)
    if status is None or status >= 500 or status in (408, 429):
        return RegistryUnreachableError(_unreachable(shown, reason, status))
    return _answered(shown, reason, status)


def _answered(shown: str, reason: str, status: int) -> RegistryError:
    if status == 401:
        return RegistryDeniedError(
            f"{shown}: the tracking server does not accept this user ({reason}). Set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
        )
    if status == 403:
        return RegistryDeniedError(
            f"{shown}: the tracking server does not allow this user to do that ({reason}). Ask "
            "its administrator for permission to read and edit the experiment `genmint`, the "
            "registered models and their journals (NAME and NAME.journal)."
        )
    if status == 413:
        return RegistryRefusedError(
            f"{shown}: the tracking server, or a proxy before it, takes no request of this size "
            f"({reason}). Raise its limit (nginx: client_max_body_size)."
        )
    if status == 404 and _is_no_tracker(reason):
        return RegistryRefusedError(
            f"{shown}: what answers there does not know MLflow's API ({reason}). Check "
            "MLFLOW_TRACKING_URI: address, port and path."
        )
    if status == 404:
        return RegistryMissingError(
            f"{shown}: the tracking server says that there is no such thing ({reason}). "
            "`genmint status` shows what is there."
        )
    return RegistryRefusedError(
        f"{shown}: the tracking server does not accept a request ({reason}). `genmint doctor` "
        "shows whether server and client belong together."
    )


def _unreachable(shown: str, reason: str, status: int | None) -> str:
    if status is not None and status != 500:
        return (
            f"{shown}: the tracking server, or a proxy before it, cannot answer now "
            f"({status}: {reason}). Run the command again later; its log says more."
        )
    way_out = (
        "Check that the file is readable, writable and a database of MLflow."
        if shown.startswith("sqlite:")
        else "Start the server, or unset MLFLOW_TRACKING_URI to use the embedded store."
    )
    return f"{shown}: the tracking server or registry does not answer ({reason}). {way_out}"


def _status(error: Exception) -> int | None:
    """HTTP status of an answer, None if there was none."""
    if isinstance(error, requests.RequestException):
        return None if error.response is None else int(error.response.status_code)
    if isinstance(error, MlflowException):
        named = _STATUS.search(str(error))
        return int(named[1]) if named else int(error.get_http_status_code())
    return None


def _is_no_tracker(reason: str) -> bool:
    """Whether a 404 is of a server that is not MLflow's: MLflow's own names what is missing."""
    return "API request to endpoint" in reason


def _forbidden(address: str) -> str | None:
    """What this user may not do with the embedded store's file, None if nothing is in the way."""
    path = Path(urllib.parse.unquote(address.removeprefix("sqlite:///")))
    try:
        if not path.exists():
            return None
    except PermissionError:
        return "read"
    if not os.access(path, os.R_OK):
        return "read"
    # SQLite writes its journal beside the file.
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        return "write"
    return None


@cache
def without_password(address: str) -> str:
    """Return an address that may be shown."""
    parts = urllib.parse.urlsplit(address)
    if parts.password is None:
        return address
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return urllib.parse.urlunsplit(parts._replace(netloc=f"{parts.username}:***@{host}{port}"))
