"""README.md, typed as it stands there from `make run` to the last command, in one project."""

import os
import re
import shutil

import pytest
from ruamel.yaml import YAML
from tests.e2e.conftest import ROOT
from tests.e2e.pages_of_commands import Terminal, steps_of
from tests.proposal.own_files import images

from genmint.config import load_params
from genmint.data.ingestion.fetch import MIRROR

pytestmark = [
    pytest.mark.slow,
    pytest.mark.soak,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(shutil.which("dvc") is None, reason="runs `dvc`"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="runs `curl`"),
    pytest.mark.skipif(MIRROR not in os.environ, reason="no copy of MNIST"),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# What a newcomer has typed before: `finished` is a project after `make run`.
BEFORE = (
    *("git clone <this repository> genmint && cd genmint", "make run", ". .venv/bin/activate"),
    # It stands in the README twice.
    "genmint new data/own/faces     #",
)
# Less time, other ports, no question, and nothing that goes on when the command has ended.
SHORT = {
    "genmint new data/own/faces": "genmint new data/own/faces --yes --family rnn --minutes 2",
    "genmint calibrate faces-vae": "genmint calibrate faces-vae --yes",
    "genmint ui": "genmint ui --port 5000",
    "make services": "genmint services --mlflow-port 5000 --prefect-port 4200",
    "prefect deployment run retrain/now": "prefect deployment run retrain/now --watch",
}
# The recipe's model is trained for a fiftieth of its steps, and must reach as much less.
SMALL = {
    "mnist-vae": ({"steps": 620, "validate_every": 310}, {"elbo": {"min": -150.0}}),
    "faces-vae": ({"steps": 300}, None),
}
# A first version has no predecessor.
REFUSED = {"genmint rollback faces-vae": "no earlier champion"}


class Settings:
    """params.yaml of the project, changed as a person does."""

    def __init__(self, path):
        self.path, self.yaml = path, YAML()

    def add(self, entries):
        """Add entries, as the README shows them."""
        params = self.yaml.load(self.path)
        for key, entry in entries.items() if "models" in entries else [("datasets", entries)]:
            params[key].update(entry)
        self.yaml.dump(params, self.path)

    def shorten(self):
        """Give what the README trains for long so few steps that a test can wait for them."""
        params = self.yaml.load(self.path)
        for name, (model, thresholds) in SMALL.items():
            if name in params["models"]:
                params["models"][name].update(model)
                params["gates"][name]["thresholds"].update(thresholds or {})
        self.yaml.dump(params, self.path)


def typed(line):
    """The line that the test types for a line of the README."""
    command = line.partition("  #")[0].rstrip()
    start = next((start for start in SHORT if command.startswith(start)), None)
    return command if start is None else command.replace(start, SHORT[start])


def test_every_line_of_the_readme_is_typed(finished, tmp_path):
    checkout = finished.copy(tmp_path / "genmint")
    images(checkout.root / "data" / "own" / "faces", 120, shape=(12, 12, 3))
    settings = Settings(checkout.root / "params.yaml")
    terminal, printed = Terminal(checkout.root), {}
    try:
        for language, _, code in steps_of(README):
            if language == "yaml":
                settings.add(YAML(typ="safe").load(code))
            elif language == "python":
                checkout.run("python", "-c", code)
            elif language == "sh":
                for line in code.strip().split("\n"):
                    if not line.strip() or line.startswith(BEFORE):
                        continue
                    if "retrain/now" in line:
                        # A retraining uses what is committed.
                        checkout.commit("models of the README")
                    refusal = next((v for k, v in REFUSED.items() if line.startswith(k)), "")
                    settings.shorten()
                    printed[line] = terminal.type(typed(line), refusal=refusal)
                if "make services" in code:
                    terminal.close()
    finally:
        terminal.close()

    def output(start):
        return next(text for line, text in printed.items() if line.startswith(start))

    assert "faces-rnn: promoted (version 1)" in output("dvc repro gate@faces-rnn")
    assert "mnist-vae: promoted (version 1)" in output("dvc repro gate@mnist-vae")
    assert "faces-vae: promoted (version 1)" in output("genmint promote faces-vae")
    assert re.search("Completed", output("prefect deployment run"))
    for name in ("faces.png", "faces.html", "digits.png", "answer.json"):
        assert (checkout.root / name).is_file(), name
    other = checkout.root.parent / "version-1"
    assert load_params(other / "params.yaml").models["image-vae"]
