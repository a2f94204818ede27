"""Commands of a page of the documentation, run in their order as a reader types them."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# Commands that run until Ctrl-C. They are ready when they say how to end them.
SERVERS = ("mlflow models serve", "genmint ui", "genmint services")
# What MLflow's own server says instead.
READY = re.compile("Ctrl-C|Uvicorn running")
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

    def type(self, line, *, refusal=""):
        """Run a line; return what it prints. A server is started, and waited for.

        With `refusal` the command must end with exit code 1 and say that.
        """
        for port, free in self.ports.items():
            line = line.replace(f":{port}", f":{free}")
        if line.startswith(SERVERS):
            return self._serve(line)
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env=self.environment, text=True,
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == bool(refusal), f"{line}\n{done.stdout}\n{done.stderr}"
        assert refusal in done.stderr, f"{line}\n{done.stderr}"
        return done.stdout

    def _serve(self, line):
        for port in re.findall(r"-port (\d+)", line):
            self.ports[port] = free_port()
            line = line.replace(port, self.ports[port])
        output = self.folder / f"server-{len(self.servers)}.log"
        with output.open("w") as stream:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {line}"], cwd=self.folder, env=self.environment,
                stdout=stream, stderr=stream, start_new_session=True,
            )  # fmt: skip
        self.servers.append(server)
        for _ in range(PATIENCE_SECONDS * 10):
            assert server.poll() is None, f"{line}\n{output.read_text()}"
            if READY.search(output.read_text()):
                return ""
            time.sleep(0.1)
        raise AssertionError(f"{line}: not ready\n{output.read_text()}")

    def close(self):
        """End the servers, as Ctrl-C does."""
        for server in self.servers:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=60)
        self.servers.clear()
