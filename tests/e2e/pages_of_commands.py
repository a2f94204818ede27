"""Commands of a page of the documentation, run in their order as a reader types them."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import requests

# Commands that run until Ctrl-C, and the path at which each answers.
SERVERS = {"mlflow models serve": "/ping", "genmint ui": "/health"}
PATIENCE_SECONDS = 120


def steps_of(page):
    """Blocks of code of a page, as (language, text before it, code)."""
    parts = re.split(r"^```(\w*)\n(.*?)^```\n", page, flags=re.MULTILINE | re.DOTALL)
    return list(zip(parts[1::3], parts[::3], parts[2::3], strict=False))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@dataclass
class Terminal:
    """Runs lines of shell in a folder, with our Python first; servers stay until the end."""

    folder: Path

    def __post_init__(self):
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        dropped = ("DVC_", "MLFLOW_", "GIT_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        self.environment = {**kept, "PATH": path}
        self.servers, self.ports = [], {}

    def type(self, line):
        """Run a line; return what it prints. A server is started, and waited for."""
        for port, free in self.ports.items():
            line = line.replace(f":{port}", f":{free}")
        path = next((path for start, path in SERVERS.items() if line.startswith(start)), None)
        if path is not None:
            return self._serve(line, path)
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self.environment, text=True,
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _serve(self, line, path):
        port = re.search(r"--port (\d+)", line)[1]
        self.ports[port] = free_port()
        output = self.folder / f"server-{port}.log"
        with output.open("w") as stream:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {line.replace(port, self.ports[port])}"], cwd=self.folder,
                env=self.environment, stdout=stream, stderr=stream, start_new_session=True,
            )  # fmt: skip
        self.servers.append(server)
        for _ in range(PATIENCE_SECONDS * 10):
            assert server.poll() is None, f"{line}\n{output.read_text()}"
            with contextlib.suppress(requests.RequestException):
                address = f"http://127.0.0.1:{self.ports[port]}{path}"
                if requests.get(address, timeout=5).ok:
                    return ""
            time.sleep(0.1)
        raise AssertionError(f"{line}: no answer\n{output.read_text()}")

    def close(self):
        """End the servers, as Ctrl-C does."""
        for server in self.servers:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=60)
