"""HTTP requests to a tracking server through MLflow's client.

They use the same login, token, certificates and proxies as MLflow's own requests, so they reach the
same servers.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import requests
from mlflow.environment_variables import MLFLOW_TRACKING_INSECURE_TLS
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from genmint.common.errors import ConfigError, RegistryRefusedError
from genmint.tracking.failures import without_password

AUTHORITY, CLIENT = "MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH"
# These are interactive: MLflow's defaults (120 s, 7 retries) hide a dead server for minutes.
_CONNECT_SECONDS = 3.05
_ANSWER_SECONDS = 10.0
_HEALTH = "/health"


def knock(address: str) -> None:
    """Send a health request with a short timeout; any HTTP response counts as success.

    Raises:
        ConfigError: certificate settings in the environment are invalid.
        RegistryRefusedError: the server redirects to another address.
        MlflowException: there was no response.
    """
    _check_certificates()
    answer: requests.Response = http_request(
        get_default_host_creds(address),
        _HEALTH,
        "GET",
        max_retries=0,
        timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS),
        raise_on_status=False,
        allow_redirects=False,
    )
    elsewhere = _moved(address, answer.headers.get("Location", ""))
    if answer.is_redirect and elsewhere is not None:
        # A redirected POST arrives as a GET, so following redirects would not work.
        raise RegistryRefusedError(
            f"{without_password(address)}: redirects its clients to {elsewhere}. Set "
            "MLFLOW_TRACKING_URI to that."
        )


def _moved(address: str, location: str) -> str | None:
    """Return the server address that a redirected health request names, None if there is none."""
    here, there = urlsplit(address), urlsplit(location)
    if not there.netloc or not there.path.endswith(_HEALTH):
        return None
    if (here.scheme, here.netloc) == (there.scheme, there.netloc):
        return None
    return f"{there.scheme}://{there.netloc}{there.path.removesuffix(_HEALTH)}"


def _check_certificates() -> None:
    for name in (AUTHORITY, CLIENT):
        setting = os.environ.get(name)
        if setting == "":
            # MLflow would take it for a request not to verify the server.
            del os.environ[name]
        if setting and not Path(setting).exists():
            raise ConfigError(f"{name}={setting}: no such file")
    if os.environ.get(AUTHORITY) and MLFLOW_TRACKING_INSECURE_TLS.get():
        raise ConfigError(
            f"{MLFLOW_TRACKING_INSECURE_TLS.name} and {AUTHORITY} are both set: unset the first, "
            "and the server is checked by the certificate"
        )
