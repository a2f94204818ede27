"""A real tracker, a real proxy before it that can misbehave, and trainings that can be killed."""

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient

from genmint import tracking
from genmint.registry import pyfunc
from genmint.tracking import reporter

# Imports once, then becomes one process a training: what is tested is not the import.
NURSERY = """
import json, math, os, pathlib, signal, sys, time
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store
import torch
from genmint import tracking
from genmint.common.project import Project
from genmint.tracking import reporter

reporter._SECONDS_BETWEEN_SENDS = 0.02
reporter._SECONDS_BETWEEN_TRIES = 0.1


def train(root, uri, token, steps, restored=0, stop=None):
    if uri:
        os.environ["MLFLOW_TRACKING_URI"] = uri
    about = tracking.DatasetInfo("dots", "image", "d" * 64, "data/prepared/dots", {"train": 80})
    block = {"steps": steps, "optimiser": {"lr": 0.1}}
    project = Project(pathlib.Path(root))
    with tracking.start_run(project, "tiny", block, about, token=token) as run:
        for step in range(1, steps + 1):
            oddity = math.nan if step % 7 == 0 else 0.0
            run.metrics(step, {"train_loss": 1 / step, "oddity": oddity})
            if step > restored:
                time.sleep(0.01)
            if step == stop:
                signal.pause()
        run.finish("f" * 64)


for line in sys.stdin:
    # Its children are reaped by nobody, but those that a child starts are by the child.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(2, 1)
        try:
            train(**json.loads(line))
        finally:
            os._exit(0)
    print(child, flush=True)
"""


def until(condition, seconds=60):
    """Wait until a condition holds, and return what it gave."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A real MLflow server on loopback, in a process group of its own."""

    def __init__(self, folder: Path):
        self.address = f"http://127.0.0.1:{free_port()}"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", self.address.rpartition(":")[2], "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
        command += ["--artifacts-destination", (folder / "artifacts").as_uri()]
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, cwd=folder
            )
        until(lambda: self.answers(folder / "log"), 120)

    def answers(self, log):
        assert self.process.poll() is None, log.read_text()
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.address}/health", timeout=5).ok

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Proxy:
    """An HTTP proxy that forwards, until it is told to do otherwise.

    `misbehave` takes what to do with requests whose path holds `path`, and how many of them:
    "fail" answers 500, "reject" answers 400 in words that are not MLflow's, "lose" has the server
    carry them out and hangs up instead of answering, "delay" holds them up for `seconds`,
    anything else just counts them. `answer` answers with a status in words that are not MLflow's,
    `hide` does what a server with users does with a registered model that this one may not read:
    it is left out of searches, and refused when asked for outright. `close` makes the port refuse.
    """

    def __init__(self, target):
        self.target = target
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.busy = 0
        self.lock = threading.Lock()
        self.open()

    def open(self):
        self.behave()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self):
                with proxy.at_work():
                    proxy.forward(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one  # noqa: N815

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    @contextlib.contextmanager
    def at_work(self):
        with self.lock:
            self.busy += 1
        try:
            yield
        finally:
            with self.lock:
                self.busy -= 1

    def behave(self):
        self.hidden = None
        self.misbehave("", "", 0)

    def answer(self, status, path):
        self.misbehave(status, path)

    def hide(self, name):
        self.hidden = name

    def misbehave(self, action, path="/", times=10**6, seconds=0.0):
        self.action, self.path, self.left, self.seconds = action, path, times, seconds
        self.hits = 0

    def forward(self, request):
        action = ""
        if self.left > 0 and self.path in request.path:
            self.left -= 1
            action = self.action
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        if action == "delay":
            time.sleep(self.seconds)
        if action == "fail":
            status, content = 500, b'{"error_code": "INTERNAL_ERROR", "message": "on purpose"}'
        elif self.hidden is not None and self.hidden in urllib.parse.unquote_plus(request.path):
            status, content = 200, b"{}"
            if "/search" not in request.path:
                status = 403
                content = b'{"error_code": "PERMISSION_DENIED", "message": "Permission denied"}'
        elif action == "reject":
            status, content = 400, b"<html>on purpose</html>"
        elif isinstance(action, int):
            status, content = action, b"<html>on purpose</html>"
        else:
            headers = {k: v for k, v in request.headers.items() if k not in ("Host", "Connection")}
            answer = requests.request(
                request.command, self.target + request.path, data=body, headers=headers, timeout=30
            )
            status, content = answer.status_code, answer.content
        self.hits += bool(action)
        if action == "lose":
            return
        with contextlib.suppress(OSError):
            request.send_response(status)
            request.send_header("Content-Type", "application/json")
            request.send_header("Content-Length", str(len(content)))
            request.end_headers()
            request.wfile.write(content)


class Nursery:
    """Starts trainings, each a process of its own that reports as fast as it can."""

    def __init__(self, log):
        self.log = log
        with log.open("w") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-c", NURSERY],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            )

    def train(self, **task):
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def wait(self, child):
        def gone():
            try:
                os.kill(child, 0)
            except ProcessLookupError:
                return True
            return False

        until(gone)

    def kill(self, child):
        os.kill(child, signal.SIGKILL)
        self.wait(child)


class Store:
    """What a tracker holds, read past the tracker, so that asking disturbs nothing."""

    def __init__(self, database):
        self.database = database

    def ask(self, question, *arguments):
        with contextlib.closing(sqlite3.connect(self.database, timeout=30)) as connection:
            return connection.execute(question, arguments).fetchall()

    def runs(self, token):
        """(id, status) of each run of a training that is not deleted."""
        return self.ask(
            "SELECT r.run_uuid, r.status FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid"
            " WHERE t.key = 'genmint.training' AND t.value = ? AND r.lifecycle_stage = 'active'",
            token,
        )

    def rows(self, token):
        """(key, step) of each metric row of a training's runs, in order."""
        return self.ask(
            "SELECT m.key, m.step FROM metrics m JOIN tags t ON t.run_uuid = m.run_uuid"
            " WHERE t.key = 'genmint.training' AND t.value = ? ORDER BY m.key, m.step",
            token,
        )

    def described(self, token):
        """Number of parameters and of inputs of a training's runs."""
        return tuple(
            self.ask(
                f"SELECT count(*) FROM {table} x JOIN tags t ON t.run_uuid = x.{column}"  # noqa: S608
                " WHERE t.key = 'genmint.training' AND t.value = ?",
                token,
            )[0][0]
            for table, column in (("params", "run_uuid"), ("inputs", "destination_id"))
        )


@pytest.fixture(scope="session")
def wait_until():
    return until


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(reporter, "_SECONDS_BETWEEN_SENDS", 0.02)
    monkeypatch.setattr(reporter, "_SECONDS_BETWEEN_TRIES", 0.1)


@pytest.fixture(autouse=True)
def few_files(monkeypatch):
    """The code that serves a version is many files, each a request, and nobody here loads it."""
    monkeypatch.setattr(pyfunc, "_CODE", ("__init__.py",))


@pytest.fixture
def token():
    return uuid.uuid4().hex


@pytest.fixture
def own_store(workshop):
    return Store(workshop.root / "mlflow.db")


@pytest.fixture
def client(workshop):
    return MlflowClient(tracking.uri(workshop.project))


@pytest.fixture(scope="session")
def started_server(tmp_path_factory, empty_store):
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_store, folder / "mlflow.db")
    started = Server(folder)
    started.store = Store(folder / "mlflow.db")
    yield started
    started.kill()


@pytest.fixture
def mortal_server(workshop, monkeypatch):
    """A server of the test's own, on the workshop's store."""
    started = Server(workshop.root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", started.address)
    yield started
    started.kill()


@pytest.fixture
def proxy(started_server, workshop, monkeypatch):
    """A proxy before the server that all tests share: the tracker of this test."""
    started = Proxy(started_server.address)
    started.store = started_server.store
    monkeypatch.setenv("MLFLOW_TRACKING_URI", started.address)
    yield started
    started.close()


@pytest.fixture(scope="session")
def nursery(tmp_path_factory):
    started = Nursery(tmp_path_factory.mktemp("nursery") / "log")
    yield started
    started.process.stdin.close()
    started.process.wait()
