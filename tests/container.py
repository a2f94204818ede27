"""The command that runs another as process 1 of a container."""

import functools
import shutil
import subprocess
from pathlib import Path

import pytest


@functools.cache
def command():
    """Skips the test where this user may have no namespace of processes."""
    plain = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    for words in (plain, [*plain, "--user", "--map-root-user"]):
        if shutil.which("unshare"):
            tried = subprocess.run([*words, "true"], capture_output=True, check=False)
            if tried.returncode == 0:
                return words
    return pytest.skip("no namespaces of processes here")


def process_one(starter):
    """Process id, as this process sees it, of process 1 of the container that `starter` has."""
    children = Path(f"/proc/{starter.pid}/task/{starter.pid}/children").read_text()
    return int(children.split()[0])
