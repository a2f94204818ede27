"""MLflow's basic authentication, with the user of GENMINT_LOGIN as administrator.

As a program, this module writes MLflow's user database. A separate process keeps MLflow's server
code out of the process that starts the server.
"""

from __future__ import annotations

import configparser
import secrets
import subprocess
import sys
from pathlib import Path

from genmint.common.errors import GenmintError
from genmint.common.files import write_text
from genmint.common.login import Login, read_login

# Passwords are checked by a slow hash, so a result is cached per user.
_CACHE_SECONDS = 60

_INI = """\
# Written by genmint at each start of MLflow's server.
[mlflow]
admin_username = {user}
default_permission = READ
database_uri = sqlite:///{database}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = {seconds}
"""


def protect(folder: Path) -> dict[str, str]:
    """Configure MLflow's server to require the login from the environment.

    Args:
        folder: folder of MLflow's user database. Users created there are kept.

    Returns:
        Environment variables for the server, to be used with `--app-name basic-auth`. They do not
        contain the password; MLflow stores a hash of it.

    Raises:
        GenmintError: the user database cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-W", "ignore", "-m", "genmint.tracking.basic_auth", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise GenmintError(f"{folder}: MLflow's users cannot be written ({reason})")
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(_ini(folder)),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        # Routes without an explicit permission check are denied.
        "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
    }


def write_users(login: Login, folder: Path) -> None:
    """Create or update the administrator, and delete the one of an earlier login.

    Args:
        login: login of the administrator.
        folder: folder of MLflow's user database.
    """
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    database = folder / "users.db"
    store = SqlAlchemyStore()
    store.init_db(f"sqlite:///{database}")
    database.chmod(0o600)
    before = configparser.ConfigParser(interpolation=None)
    before.read(_ini(folder))
    earlier = before.get("mlflow", "admin_username", fallback=login.user)
    if earlier != login.user and store.has_user(earlier):
        store.delete_user(earlier)
    if store.has_user(login.user):
        store.update_user(login.user, login.password, is_admin=True)
    else:
        store.create_user(login.user, login.password, is_admin=True)
    text = _INI.format(user=login.user, database=database, seconds=_CACHE_SECONDS)
    write_text(_ini(folder), text)


def _ini(folder: Path) -> Path:
    return folder / "login.ini"


if __name__ == "__main__":
    login = read_login()
    assert login is not None, "protect() is called where there is a login"
    write_users(login, Path(sys.argv[1]))
