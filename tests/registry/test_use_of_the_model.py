"""What the README says about the use of a model, run as it stands there, for a small champion."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import requests

import genmint
from genmint.promotion.promote import promote

README = Path(__file__).parents[2] / "README.md"


def blocks(language):
    """Code of the section, about `tiny` in the place of the built-in model."""
    section = README.read_text(encoding="utf-8").partition("\n## Use the model\n")[2]
    code = re.findall(
        rf"^```{language}\n(.*?)^```", section.partition("\n## ")[0], re.MULTILINE | re.DOTALL
    )
    return [each.replace("image-vae", "tiny") for each in code]


@pytest.fixture
def shell(workshop):
    """Runs lines of shell in the folder of a project with a champion, with our Python first."""
    workshop.make()
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    assert outcome.verdict == "promoted"
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}

    def start(line):
        return subprocess.Popen(
            ["bash", "-c", f"exec {line}" if line.startswith("mlflow") else line],
            cwd=workshop.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, text=True,
        )  # fmt: skip

    def run(line):
        process = start(line)
        out, errors = process.communicate(timeout=300)
        assert process.returncode == 0, (line, errors)
        return out

    run.start, run.root = start, workshop.root
    return run


def test_the_python_of_the_readme_runs(shell, monkeypatch):
    (code,) = blocks("python")
    monkeypatch.chdir(shell.root)
    names = {}
    exec(code, names)  # noqa: S102 - that is what the test is for
    assert names["images"].shape == (16, 1, 4, 4)
    assert names["paths"].shape == (2, 8, 1, 4, 4)


@pytest.mark.slow
def test_the_commands_of_the_readme_run_and_agree(shell, monkeypatch):
    files, servers = blocks("sh")
    for line in files.strip().split("\n"):
        shell(line)
    assert (shell.root / "digits.png").is_file()
    expected = genmint.load(shell.root / "tiny-1").sample(4, seed=0)
    monkeypatch.chdir(shell.root)
    assert np.array_equal(genmint.load("tiny@champion").sample(4, seed=0), expected)
    serve, curl, *predict = servers.strip().split("\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    assert "5001" in serve
    assert "5001" in curl
    server = shell.start(serve.replace("5001", port))
    try:
        for _ in range(1200):
            assert server.poll() is None, server.stderr.read()
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"http://127.0.0.1:{port}/ping", timeout=5).ok:
                    break
            time.sleep(0.1)
        answer = json.loads(shell(curl.replace("5001", port)))
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.communicate(timeout=60)
    for line in predict:
        if line:
            shell(line)
    predicted = json.loads((shell.root / "answer.json").read_text())
    for each in (answer, predicted):
        assert [row["sample"] for row in each["predictions"]] == expected.tolist()
