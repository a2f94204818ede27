"""Real `genmint services` on a tiny project of its own: servers, workers, flows that nap."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling

from genmint.services.processes import marked

ROOT = Path(__file__).parents[2]
NAP = '''\
import os
import subprocess
import sys
import time

from prefect import flow


@flow
def nap(seconds: list[float] = [0.0], fail: bool = False, out: str = ""):
    """Sleeps in a child, as a flow trains in one; `seconds` of each attempt, the last for more."""
    attempt = 0
    if out:
        with open(out, "a+") as file:
            file.seek(0)
            attempt = len(file.readlines())
            print(os.environ.get("GENMINT_DEVICE"), os.environ["OMP_NUM_THREADS"], file=file)
    code = f"import time; time.sleep({seconds[min(attempt, len(seconds) - 1)]})"
    subprocess.run([sys.executable, "-c", code], check=True)
    if fail:
        raise ValueError("told to fail")
'''
DEPLOYMENTS = """\
name: napping
pull:
  - prefect.deployments.steps.set_working_directory: {directory: "%s"}
deployments:
  - name: gpu
    entrypoint: pipelines/nap.py:nap
    work_pool: {name: gpu, work_queue_name: nightly}
  - name: cpu
    entrypoint: pipelines/nap.py:nap
    work_pool: {name: cpu, work_queue_name: nightly}
  - name: failing
    entrypoint: pipelines/retrain.py:retrain
    work_pool: {name: cpu, work_queue_name: person}
  - name: planned
    entrypoint: pipelines/retrain.py:retrain
    parameters: {fail: true}
    work_pool: {name: cpu, work_queue_name: nightly}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, seconds, message):
    """The first true answer of `what()`, asked for so many seconds."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, f"{message}: not within {seconds} s"
        time.sleep(0.2)
    return answer


class Listener:
    """An HTTP server that remembers what it was sent."""

    def __init__(self):
        heard = self.heard = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                heard.append((self.path, json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for(self, path, *texts, seconds=20):
        """The first body with all of `texts` that came to `path`."""

        def found():
            bodies = [body for where, body in self.heard if where == path]
            return [body for body in bodies if all(text in str(body) for text in texts)]

        try:
            return wait_for(found, seconds, f"{path} hears {texts}")[0]
        except AssertionError:
            print(self.heard)
            raise


@pytest.fixture(scope="module")
def listener():
    made = Listener()
    yield made
    made.server.shutdown()


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory):
    """Prefect's server alone: nothing else of `genmint services` is asked; its address."""
    home, port = tmp_path_factory.mktemp("prefect"), free_port()
    api = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=home,
            env={**Running.clean_env(), "PREFECT_HOME": str(home)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def answers():
        assert process.poll() is None, (home / "log").read_text()
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{api}/health").is_success

    try:
        wait_for(answers, 400, "Prefect's server")
        yield api
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def prefect_alone(prefect_api):
    """Prefect's settings name that server."""
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        yield


class Running:
    """`genmint services` in a process of its own, and what a person can ask it."""

    wait_for = staticmethod(wait_for)
    # What is put before the command: that of a container, for one.
    before: tuple[str, ...] = ()

    def __init__(self, root, *options, **env):
        self.root = root
        self.state = root / ".genmint" / "services"
        self.mlflow_port, self.prefect_port = free_port(), free_port()
        self.options, self.env = options, env
        self.start()

    @staticmethod
    def clean_env():
        """The environment without what would point at other servers."""
        others = (
            "PREFECT_",
            "MLFLOW_",
            "DVC_",
            "GENMINT_SERVICES",
            "GENMINT_LOGIN",
            "STORE",
            "ALERTS",
        )
        return {name: said for name, said in os.environ.items() if not name.startswith(others)}

    def start(self):
        ports = ["--mlflow-port", self.mlflow_port, "--prefect-port", self.prefect_port]
        self.log = self.root / "services.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.before, sys.executable, "-m", "genmint", "services"]
                + [str(word) for word in (*ports, *self.options)],
                cwd=self.root,
                env={**self.clean_env(), **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(lambda: self._is_ready(), 400, "genmint services")

    @property
    def addresses(self):
        """The variables that say where the servers are."""
        return {
            "PREFECT_API_URL": f"http://127.0.0.1:{self.prefect_port}/api",
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.mlflow_port}",
        }

    @property
    def client(self):
        """A client for one `with`."""
        api = self.addresses["PREFECT_API_URL"]
        return SyncPrefectClient(api, auth_string=self.env.get("GENMINT_LOGIN"))

    def _is_ready(self):
        said = self.log.read_text()
        assert self.process.poll() is None, said
        return (self.state / "state.json").exists() and "Ctrl-C ends" in said

    def pid(self, name):
        return json.loads((self.state / "state.json").read_text())["processes"][name]

    def kill(self, name):
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def ask(self, deployment, **parameters):
        with self.client as client:
            found = client.read_deployment_by_name(deployment)
            return client.create_flow_run_from_deployment(found.id, parameters=parameters).id

    def cancel(self, run):
        with self.client as client:
            client.set_flow_run_state(run, Cancelling())

    def states(self, run: UUID):
        """Names of the states the run went through, the present one last."""
        with self.client as client:
            states = client.read_flow_run_states(run)
        return [state.name for state in sorted(states, key=lambda state: state.timestamp)]

    def wait_until(self, run, name, seconds):
        def reached():
            with contextlib.suppress(httpx.HTTPError):
                return name in self.states(run)[-1:]

        try:
            return wait_for(reached, seconds, f"{name}")
        except AssertionError:
            print(self.states(run), self.log.read_text(), sep="\n")
            raise

    @contextlib.contextmanager
    def by_hand(self, name, log, **env):
        """A worker as docs/cluster.md has people start one beside `genmint services`."""
        command = [
            *(sys.executable, "-m", "prefect", "worker", "start", "--type", "process"),
            *("--install-policy", "never", "--pool", "gpu", "--name", name, "--limit", "1"),
        ]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        more = {**self.addresses, "GENMINT_HOME": str(self.root), "PATH": path, **env}
        with log.open("ab") as stream:
            worker = subprocess.Popen(
                command,
                cwd=self.root,
                env={**self.clean_env(), **more},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        try:
            yield worker
        finally:
            worker.terminate()
            worker.wait(60)

    def processes(self):
        return [process for process, _ in marked(str(self.state))]

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.process.wait(60)

    def clean(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        try:
            wait_for(lambda: not self.processes(), 60, "the watchdog kills what is left")
        except AssertionError:
            print(*self.processes(), self.log.read_text(), sep="\n")
            raise


@pytest.fixture(scope="session")
def napping(tmp_path_factory):
    """Makes projects whose only flow is a nap."""

    def make(name):
        root = tmp_path_factory.mktemp(name)
        for file in ("params.yaml", "dvc.yaml"):
            shutil.copy(ROOT / file, root / file)
        (root / "pipelines").mkdir()
        (root / "pipelines" / "nap.py").write_text(NAP)
        # Alerts are for flows of ours, told by their names.
        renamed = NAP.replace("@flow", "@flow(name='retrain')").replace("def nap", "def retrain")
        (root / "pipelines" / "retrain.py").write_text(renamed)
        (root / "prefect.yaml").write_text(DEPLOYMENTS % root)
        return root

    return make


@pytest.fixture(scope="session")
def start(napping):
    """Starts services on a new napping project; all end with the session."""
    started = []

    def begin(name, *options, **env):
        running = Running(napping(name), *options, **env)
        started.append(running)
        return running

    yield begin
    for running in started:
        running.clean()
