"""A project with one data set, whose ingest, validate and prepare run for real."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from genmint.common.files import sha256_file, write_json
from genmint.common.project import Project
from genmint.config import load_params
from genmint.data import manifest, quarantine
from genmint.data.quarantine import Quarantined
from genmint.stages import ingest, prepare, validate

CHECKOUT = Path(__file__).parents[2]


@dataclass
class DataProject:
    """Blocks are JSON, which is YAML; the data set is called `own` unless told otherwise."""

    root: Path
    blocks: dict = field(default_factory=dict)

    @property
    def project(self):
        return Project(self.root)

    @property
    def folder(self):
        return self.root / "data" / "own" / "things"

    def block(self, name="own", **settings):
        self.blocks[name] = {"path": "data/own/things", **settings}
        if settings["kind"] == "text":
            # Short enough for the splits of small texts.
            self.blocks[name].setdefault("protocol", {"sample_length": 64})
        document = {"datasets": self.blocks, "models": {}, "gates": {}}
        (self.root / "params.yaml").write_text(json.dumps(document))

    def ingest(self, name="own"):
        ingest.run(self.project, self._params(), name)

    def validate(self, name="own"):
        validate.run(self.project, self._params(), name)

    def prepare(self, name="own"):
        prepare.run(self.project, self._params(), name)

    def admit(self, name="own", quarantined=()):
        """Write what validate writes of a set that passes; Great Expectations takes its time."""
        path = self.project.manifest(name)
        quarantine.write(
            self.project.quarantine(name), [Quarantined(item, item, "bad") for item in quarantined]
        )
        report = {
            "passed": 1,
            "items": manifest.rows(path),
            "quarantined": len(quarantined),
            "manifest": sha256_file(path),
            "max_quarantined": self._params().datasets[name].max_quarantined,
        }
        write_json(self.project.validation(name), report)

    def run(self, name="own"):
        self.ingest(name)
        self.admit(name)
        self.prepare(name)

    def write(self, path):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def pictures(self, count, *, start=0, folder=""):
        """Noise pictures, 12×12, all different."""
        for number in range(start, start + count):
            pixels = np.random.default_rng(number).integers(0, 256, (12, 12), dtype=np.uint8)
            Image.fromarray(pixels).save(self.write(f"{folder}{number:04d}.png"))

    def sounds(self, count, *, pattern="{:03d}.wav", rate=8000, seconds=0.25):
        """Noise clips, all different."""
        for number in range(count):
            noise = np.random.default_rng(number).normal(0, 0.1, round(rate * seconds))
            soundfile.write(self.write(pattern.format(number)), noise, rate, subtype="PCM_16")

    def texts(self, count, *, words=400):
        """Documents of random words, all different."""
        for number in range(count):
            generator = np.random.default_rng(number)
            letters = generator.choice(list("abcdefghijklmno      \n"), words * 5)
            self.write(f"{number:03d}.txt").write_text("".join(letters))

    def _params(self):
        return load_params(self.root / "params.yaml")


@pytest.fixture
def data_project(tmp_path, monkeypatch):
    monkeypatch.delenv("GENMINT_DATA_MIRROR", raising=False)
    return _made(tmp_path / "checkout")


@pytest.fixture(scope="module")
def data_projects(tmp_path_factory):
    """Makes projects that the tests of a module share."""
    return lambda: _made(tmp_path_factory.mktemp("shared") / "checkout")


def _made(root):
    (root / "data").mkdir(parents=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    shutil.copytree(CHECKOUT / "config/expectations", root / "config/expectations")
    shutil.copytree(CHECKOUT / "data" / "sources", root / "data" / "sources")
    return DataProject(root)
