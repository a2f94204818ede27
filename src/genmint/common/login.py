"""Login for the MLflow and Prefect servers and their clients: GENMINT_LOGIN=user:password."""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping
from typing import NamedTuple

from genmint.common.errors import ConfigError
from genmint.common.loopback import is_loopback

VARIABLE = "GENMINT_LOGIN"

# Minimum password length of MLflow.
_SHORTEST = 12
_USER = re.compile(r"[A-Za-z0-9._-]+")


class Login(NamedTuple):
    """Login for the servers.

    Attributes:
        user: user name.
        password: at least twelve characters.
    """

    user: str
    password: str


def read_login() -> Login | None:
    """Read the login from the environment; None if there is none.

    Raises:
        ConfigError: the variable has another form, or the password is too short; the message shows
            neither.
    """
    setting = os.environ.get(VARIABLE)
    if setting is None:
        return None
    user, colon, password = setting.partition(":")
    if not colon or not _USER.fullmatch(user):
        raise ConfigError(f"{VARIABLE}: write user:password, a name of letters, digits, . _ and -")
    if len(password) < _SHORTEST or not password.isprintable():
        raise ConfigError(
            f"{VARIABLE}: the password needs at least {_SHORTEST} characters, all printable"
        )
    return Login(user, password)


def hand_on(environment: MutableMapping[str, str]) -> None:
    """Set the login for the clients of MLflow and Prefect, unless they have one.

    Raises:
        ConfigError: see `read_login`.
    """
    login = read_login()
    if login is not None:
        # Set both together, since the password belongs to this user.
        if "MLFLOW_TRACKING_USERNAME" not in environment:
            environment["MLFLOW_TRACKING_USERNAME"] = login.user
            environment["MLFLOW_TRACKING_PASSWORD"] = login.password
        environment.setdefault("PREFECT_API_AUTH_STRING", f"{login.user}:{login.password}")


def refuse_open(host: str, *, insecure: bool) -> None:
    """Check that other machines cannot connect to a server without a login.

    Args:
        host: address that the server is to listen on.
        insecure: whether the user allows connections without a login.

    Raises:
        ConfigError: other machines could reach the server without a login.
    """
    if not (is_loopback(host) or insecure or read_login() is not None):
        raise ConfigError(
            f"--host {host}: anyone who can reach the servers could run commands and change the "
            f"registry. Set {VARIABLE}=user:password here and for all clients, or use --insecure "
            "in a network where everyone may do so (docs/security.md)"
        )
