"""Translation of tracker failures into genmint errors that name cause and remedy.

Only a missing response or a server failure may succeed on a retry. "Not found", "not allowed" and
"not accepted" are final responses, so they are not retried.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from functools import cache
from pathlib import Path
from typing import NamedTuple

import requests
from mlflow.exceptions import MlflowException

from genmint.common.errors import (
    RegistryDeniedError,
    RegistryError,
    RegistryMissingError,
    RegistryRefusedError,
    RegistryUnreachableError,
)

_LONGEST_REASON = 300
_LONGEST_NAME = 60
# SQLAlchemy's text for a database failure; a duplicate row (IntegrityError) is not one.
_DATABASE = re.compile(r"\((?:sqlite3|psycopg2|pymysql)\.(?:\w+\.)?(?:Operational|Database)Error\)")
# MLflow maps every unknown status to 500, but its message contains the original status.
_STATUS = re.compile(r"(?:failed with error code|too many) (\d{3})\b")
# MLflow's message if there was no response.
_UNANSWERED = re.compile(r"API request to \S+ failed with (?:timeout )?exception")
_CAUSE = re.compile(r"\(Caused by (.*)\)$")
_TOO_SLOW = re.compile(r"timeout exception|ReadTimeoutError|timed out")
_NO_JSON = "not in a valid JSON format"
_UNTRUSTED = re.compile(r"certificate verify failed: (.*?) ?\(_ssl")
_CLIENT_CERTIFICATE = re.compile(
    r"CERTIFICATE_REQUIRED|ALERT_(?:BAD_CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE)"
)
_CUT_OFF = re.compile(r"EOF occurred|ConnectionReset|BrokenPipe|RemoteDisconnected")
_SET_CLIENT = (
    "set MLFLOW_TRACKING_CLIENT_CERT_PATH to a file with one that it accepts, and its key (PEM)"
)
_NO_TLS = re.compile(r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|PACKET_LENGTH_TOO_LONG")
_LIMIT = "Raise its limit for the size of a request (nginx: client_max_body_size)."


class Sent(NamedTuple):
    """A file that a tracker did not accept.

    Attributes:
        name: path below the artefacts of its run.
        size: size in bytes.
        answers: whether the server did not respond to the upload, but responds to a small request.
        seconds: timeout of the upload in seconds.
    """

    name: str
    size: int
    answers: bool
    seconds: int

    def __str__(self) -> str:
        """Return name and size."""
        return f"{self.name} of {self.size:,} bytes"


def as_registry_error(address: str, error: Exception, sent: Sent | None = None) -> RegistryError:
    """Convert an error of MLflow, its HTTP client or its database into a RegistryError.

    Args:
        address: address of the tracker.
        error: the exception.
        sent: the file that was being uploaded, if any.
    """
    shown = without_password(address)
    text = str(error)
    reason = _reason(text) or type(error).__name__
    if (setup := _setup(address, shown, text, reason)) is not None:
        return setup
    # MLflow reports every error of its database as a bad request.
    status = None if _DATABASE.search(text) else _status(error)
    if status is None and address.startswith("https:") and (refused := _tls(shown, text)):
        return RegistryRefusedError(refused)
    if status == 413:
        return RegistryRefusedError(
            f"{shown}: {_who(error)} {_too_large(sent)} ({reason}). {_LIMIT}"
        )
    if status is None or status >= 500 or status in (408, 429):
        if _NO_JSON in text:
            return RegistryRefusedError(_no_tracker(shown, reason))
        return RegistryUnreachableError(_unreachable(shown, reason, status, sent))
    return _answered(shown, reason, status)


def _setup(address: str, shown: str, text: str, reason: str) -> RegistryError | None:
    """Return the error if the tracker's administrator has to change its setup, else None."""
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
    forbidden = _forbidden(address) if address.startswith("sqlite:") else None
    if forbidden is not None:
        return RegistryDeniedError(f"{shown}: this user may not {forbidden} it ({reason}).")
    return None


def _reason(text: str) -> str:
    """Return the message in one line; for an unanswered request only its cause."""
    whole = " ".join(text.split())
    cause = _CAUSE.search(whole)
    return (cause[1] if cause and _UNANSWERED.search(whole) else whole)[:_LONGEST_REASON]


def is_unanswered(error: Exception) -> bool:
    """Whether a request to a tracking server got no response."""
    return _status(error) is None


def _answered(shown: str, reason: str, status: int) -> RegistryError:
    if status == 401:
        return RegistryDeniedError(
            f"{shown}: the tracking server does not accept this user ({reason}). Set "
            "GENMINT_LOGIN, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN."
        )
    if status == 403:
        return RegistryDeniedError(
            f"{shown}: the tracking server does not allow this user to do that ({reason}). Ask "
            "its administrator for permission to read and edit the experiment `genmint`, the "
            "registered models and their journals (NAME and NAME.journal)."
        )
    if status == 404 and _is_no_tracker(reason):
        return RegistryRefusedError(_no_tracker(shown, reason))
    if status == 404:
        return RegistryMissingError(
            f"{shown}: the tracking server reports that the resource does not exist ({reason}). "
            "`genmint status` shows what is there."
        )
    return RegistryRefusedError(
        f"{shown}: the tracking server does not accept a request ({reason}). `genmint doctor` "
        "shows whether server and client belong together."
    )


def _no_tracker(shown: str, reason: str) -> str:
    return (
        f"{shown}: the server there does not provide MLflow's API ({reason}). Check "
        "MLFLOW_TRACKING_URI: address, port and path."
    )


def _who(error: Exception) -> str:
    """Describe the responding server, with the name from its `Server` header if present."""
    response = getattr(error, "response", None)
    server = "" if response is None else response.headers.get("Server", "").strip()[:_LONGEST_NAME]
    whole = "the tracking server, or a proxy before it,"
    return f"{whole} which calls itself {server}," if server else whole


def _too_large(sent: Sent | None) -> str:
    return "takes no request of this size" if sent is None else f"does not take {sent}"


def _unreachable(shown: str, reason: str, status: int | None, sent: Sent | None) -> str:
    what = "" if sent is None else f" while {sent} was sent"
    if status is not None and not shown.startswith("sqlite:"):
        return (
            f"{shown}: the tracking server, or a proxy before it, cannot answer now{what} "
            f"({status}: {reason}). Run the command again later; its log says more."
        )
    if sent is not None and sent.answers:
        if _TOO_SLOW.search(reason):
            return (
                f"{shown}: the tracking server did not store {sent} within {sent.seconds} s, but "
                "answers other requests: its store is slow. Set MLFLOW_HTTP_REQUEST_TIMEOUT to "
                f"more seconds, and run the command again ({reason})."
            )
        return (
            f"{shown}: the connection broke{what}, but the tracking server answers other requests: "
            "it was started again, and the command will succeed, or a proxy before it refuses "
            f"requests of this size or duration, as its log says. {_LIMIT} ({reason})"
        )
    way_out = (
        "Check that the file is readable, writable and a database of MLflow."
        if shown.startswith("sqlite:")
        else "Start it, or wait until it answers, and run the command again."
    )
    if shown.startswith("https:") and _CUT_OFF.search(reason):
        # With TLS 1.3, the client certificate is requested after the client regards itself as
        # connected.
        way_out += f" If it wants a client certificate, {_SET_CLIENT}."
    return f"{shown}: the tracking server or registry does not answer{what} ({reason}). {way_out}"


def _tls(shown: str, text: str) -> str | None:
    """Return why the TLS connection failed, None if TLS is not the cause."""
    untrusted = _UNTRUSTED.search(text)
    if untrusted is not None:
        return (
            f"{shown}: the certificate of the tracking server is not accepted here "
            f"({untrusted[1]}). Where an authority of your own signed it, set "
            "MLFLOW_TRACKING_SERVER_CERT_PATH to a file with the authority's certificate (PEM)."
        )
    if _CLIENT_CERTIFICATE.search(text):
        return (
            f"{shown}: the tracking server, or a proxy before it, wants another client "
            f"certificate: {_SET_CLIENT}."
        )
    if _NO_TLS.search(text):
        return f"{shown}: the server there does not use TLS. Set MLFLOW_TRACKING_URI to http://…"
    return None


def _status(error: Exception) -> int | None:
    """Return the HTTP status of a response, None if there was none."""
    if isinstance(error, requests.RequestException):
        return None if error.response is None else int(error.response.status_code)
    if isinstance(error, MlflowException):
        text = str(error)
        named = _STATUS.search(text)
        if named is None and _UNANSWERED.search(text):
            return None
        return int(named[1]) if named else int(error.get_http_status_code())
    return None


def _is_no_tracker(reason: str) -> bool:
    """Whether a 404 comes from another server; MLflow's own 404 names the missing resource."""
    return "API request to endpoint" in reason


def _forbidden(address: str) -> str | None:
    """Return which access to the embedded store's file is denied ("read", "write"), or None."""
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
    """Return an address with its password masked."""
    parts = urllib.parse.urlsplit(address)
    if parts.password is None:
        return address
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return urllib.parse.urlunsplit(parts._replace(netloc=f"{parts.username}:***@{host}{port}"))
