"""A folder of yours under DVC: any change of it makes plain `dvc repro` act, nothing else does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from ruamel.yaml import YAML

CHECKOUT = Path(__file__).parents[2]


def command(root, *arguments):
    # Stages call `python`; it must be the one that runs the tests.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}
    environment.pop("DVC_ROOT", None)
    done = subprocess.run(
        arguments, cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def picture(path, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.mark.slow
def test_adding_changing_and_removing_a_file_is_seen(data_project):
    root, folder = data_project.root, data_project.folder
    data_project.pictures(30)
    data_project.block(kind="image", resolution=8)
    stages = YAML(typ="safe", pure=True).load((CHECKOUT / "dvc.yaml").read_text())["stages"]
    with (root / "dvc.yaml").open("w") as stream:
        YAML().dump({"stages": {"ingest": stages["ingest"]}}, stream)
    shutil.copytree(
        CHECKOUT / "src" / "genmint",
        root / "src" / "genmint",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(CHECKOUT / ".dvcignore", root)
    command(root, "git", "init", "-q")
    command(root, sys.executable, "-m", "dvc", "init", "-q")

    def repro():
        return command(root, sys.executable, "-m", "dvc", "repro")

    assert "own: 30 items" in repro()
    assert "Data and pipelines are up to date" in repro()
    picture(folder / "new.png", 100)
    assert "own: 31 items" in repro()
    picture(folder / "new.png", 101)
    assert "own: 31 items" in repro()
    (folder / "new.png").unlink()
    repro()
    rows = pq.read_table(data_project.project.manifest("own"), columns=["id"])
    assert len(rows) == 30
    assert "Data and pipelines are up to date" in repro()
