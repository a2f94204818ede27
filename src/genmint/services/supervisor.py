"""Supervisor of `genmint services`: starts, restarts and stops servers and workers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from filelock import FileLock, Timeout

from genmint.common.errors import GenmintError
from genmint.common.file_lock import place_of
from genmint.common.files import file_mode, write_json
from genmint.common.login import VARIABLE as LOGIN
from genmint.common.login import read_login
from genmint.services import alerts, cleanup_watchdog, database, names, pools
from genmint.services.config import Services
from genmint.services.deploying import deploy_project
from genmint.services.processes import Child, kill_marked, start_watchdog
from genmint.services.servers import (
    mlflow_server,
    orchestration_store,
    prefect_server,
    services_environment,
    tracking_store,
    wait_until_healthy,
)
from genmint.services.settings import remove_settings, settings_file, write_settings
from genmint.services.watch import Watch
from genmint.services.workers import workers
from genmint.tracking.ui import check_free

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

_TICK_SECONDS = 0.5
_SECONDS_BETWEEN_POLLS = 2.0
_PATIENCE_SECONDS = 10.0
_ANSWER_SECONDS = 10.0
_WATCHDOG_SECONDS = 60.0


def serve(services: Services) -> int:
    """Run until Ctrl-C or SIGTERM; return the exit code.

    Raises:
        ConfigError: a port is taken.
        GenmintError: another `genmint services` of this project is running, or a server does not
            start.
    """
    services.state.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place_of(services.state / "lock"), timeout=0, mode=file_mode())
    try:
        lock.acquire()
    except Timeout:
        raise GenmintError(
            f"{services.state}: another `genmint services` of this project is running; "
            "its process ids are in state.json there"
        ) from None
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _interrupt)
    try:
        # Wait for the cleanup watchdog of a killed supervisor.
        with FileLock(
            place_of(services.state / cleanup_watchdog.LOCK),
            timeout=_WATCHDOG_SECONDS,
            mode=file_mode(),
        ):
            pass
        if left := kill_marked(services.mark):
            _say(f"killed {left} processes that an earlier supervisor left")
        return _Supervisor(services).run()
    finally:
        lock.release()


class _Supervisor:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._children: dict[str, Child] = {}
        self._servers: list[str] = []
        self._workers: tuple[str, ...] = ()
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._silent = False

    def run(self) -> int:
        self._watchdog = start_watchdog(self._services.mark, settings_file(self._services))
        try:
            if self._services.servers:
                self._start_servers()
            with self._client() as client:
                self._set_up(client)
                self._keep_running(client)
        except KeyboardInterrupt:
            return 130
        finally:
            self._stop()

    def _start_servers(self) -> None:
        services = self._services
        check_free(services.host, services.mlflow_port, "--mlflow-port")
        check_free(services.host, services.prefect_port, "--prefect-port")
        url = None
        if services.store is None:
            child, url = database.embedded(services)
            self._add(child)
            database.wait_until_open(child, url, self._check_watchdog)
        self._add(mlflow_server(services, tracking_store(services)))
        self._add(prefect_server(services, orchestration_store(services, url)))
        self._servers = list(self._children)
        wait_until_healthy(services, self._children, self._check_watchdog)

    def _set_up(self, client: SyncPrefectClient) -> None:
        import httpx

        services = self._services
        try:
            self._tell_prefect(client)
        except httpx.HTTPError as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise GenmintError(
                f"{services.prefect_api}: the set-up of Prefect's server failed ({reason}). "
                "Start it, or correct PREFECT_API_URL"
            ) from error
        self._note()
        settings = write_settings(services)
        _say(f"MLflow   {services.tracker}")
        _say(f"Prefect  {services.prefect_api.removesuffix('/api')}")
        _say(f"logs     {services.state / 'logs'}")
        if not settings:
            _say("prefect.toml is not of genmint and is kept: `prefect` needs PREFECT_API_URL")
        _say("Ctrl-C ends all. In other folders:")
        _say(f"  export PREFECT_API_URL={services.prefect_api}")
        _say(f"  export MLFLOW_TRACKING_URI={services.tracker}")
        if read_login() is not None:
            _say(f"  export {LOGIN}=…                  (for genmint)")
            _say(f'  export PREFECT_API_AUTH_STRING="${LOGIN}"  (for `prefect`)')

    def _tell_prefect(self, client: SyncPrefectClient) -> None:
        services = self._services
        pools.create_pools(client)
        expected = workers(services)
        names.claim(client, services, expected)
        self._workers = tuple(expected)
        if services.servers:
            alerts.install(client, services.alerts, services.refusals)
            # Deploy before the workers start, since they would take late runs of removed
            # deployments.
            for line in deploy_project(services.project, client, services_environment(services)):
                _say(line)
        for child in expected.values():
            self._add(child)

    def _keep_running(self, client: SyncPrefectClient) -> NoReturn:
        """Restart children that end and watch flow runs until a signal arrives."""
        services = self._services
        watch = Watch(client, services.mark, self._workers, resumes=services.servers, say=_say)
        next_check = 0.0
        try:
            while True:
                self._restart_the_dead()
                if time.monotonic() >= next_check:
                    self._ask_prefect(watch.check)
                    next_check = time.monotonic() + _SECONDS_BETWEEN_POLLS
                time.sleep(_TICK_SECONDS)
        except KeyboardInterrupt:
            _say("stopping; running flows resume at the next start")
            self._stop_children(name for name in self._children if name not in self._servers)
            self._ask_prefect(watch.abandon)
            self._ask_prefect(lambda: names.release(client, services, self._workers))
            raise

    def _ask_prefect(self, question: Callable[[], None]) -> None:
        """Call `question`; report a missing response of Prefect once."""
        import httpx
        from prefect.exceptions import ObjectNotFound

        try:
            question()
        except ObjectNotFound:
            # The run was just deleted; the next check does not see it.
            pass
        except httpx.HTTPError as error:
            if not self._silent:
                reason = str(error).partition("\n")[0] or type(error).__name__
                refuses = isinstance(error, httpx.HTTPStatusError)
                _say(f"Prefect {'refuses' if refuses else 'does not answer'} ({reason}); retrying")
            self._silent = True
            return
        if self._silent:
            _say("Prefect answers again")
        self._silent = False

    def _restart_the_dead(self) -> None:
        self._check_watchdog()
        for child in self._children.values():
            if (status := child.died()) is not None:
                _say(f"{child.name} ended with {status}; see {child.log}")
                self._note()
            if child.restart_when_due():
                _say(f"{child.name} started again")
                self._note()

    def _check_watchdog(self) -> None:
        assert self._watchdog is not None
        if self._watchdog.poll() is not None:
            self._watchdog = start_watchdog(self._services.mark, settings_file(self._services))

    def _add(self, child: Child) -> None:
        child.start()
        self._children[child.name] = child

    def _note(self) -> None:
        """Write addresses and process ids to state.json, for people and tests."""
        write_json(
            self._services.state / "state.json",
            {
                "supervisor": os.getpid(),
                "mlflow": self._services.tracker,
                "prefect": self._services.prefect_api,
                "processes": {name: child.pid for name, child in self._children.items()},
            },
        )

    @contextlib.contextmanager
    def _client(self) -> Iterator[SyncPrefectClient]:
        from prefect.client.orchestration import SyncPrefectClient
        from prefect.settings import (
            PREFECT_API_AUTH_STRING,
            PREFECT_API_URL,
            PREFECT_CLIENT_MAX_RETRIES,
            temporary_settings,
        )

        # The supervisor repeats the request after two seconds anyway and must not block on retries.
        with (
            temporary_settings(
                {PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_URL: self._services.prefect_api}
            ),
            SyncPrefectClient(
                self._services.prefect_api,
                auth_string=PREFECT_API_AUTH_STRING.value(),
                httpx_settings={"timeout": _ANSWER_SECONDS},
            ) as client,
        ):
            yield client

    def _stop(self) -> None:
        # Workers have ended or never started; the database stops last, after its clients.
        self._stop_children(name for name in self._children if name != "postgresql")
        self._stop_children(self._children)
        if self._watchdog is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
            self._watchdog.wait()
        remove_settings(settings_file(self._services))
        (self._services.state / "state.json").unlink(missing_ok=True)

    def _stop_children(self, names: Iterable[str]) -> None:
        children = [self._children[name] for name in names]
        for child in children:
            child.ask_to_end()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        for child in children:
            child.end(max(0.0, deadline - time.monotonic()))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
