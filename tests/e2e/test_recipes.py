"""The data of every recipe enter: `genmint add`, then all stages up to `prepare`."""

import os
import shutil
import tarfile
from pathlib import Path

import pytest
import yaml
from tests.e2e.conftest import ROOT, clone_of_the_project

from genmint.data.ingestion.fetch import MIRROR

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("dvc") is None, reason="runs `dvc`"),
    pytest.mark.skipif(MIRROR not in os.environ, reason="no copy of the data sets"),
]


def data_sets():
    """The first recipe of each data set."""
    names = {}
    for path in sorted((ROOT / "config/recipes").glob("*.yaml")):
        for name in yaml.safe_load(path.read_text())["datasets"]:
            names.setdefault(name, path.stem)
    return names


# `make soak` has the others.
@pytest.mark.parametrize(
    ("dataset", "recipe"),
    [
        pytest.param(*pair, marks=() if pair[0] == "mnist" else pytest.mark.soak)
        for pair in data_sets().items()
    ],
)
def test_the_data_of_a_recipe_enter(tmp_path, dataset, recipe):
    checkout = clone_of_the_project(tmp_path / "project")
    if dataset == "photos":
        own = checkout.root / "data" / "own"
        with tarfile.open(Path(os.environ[MIRROR]) / "cifar10-jpeg" / "train.tar.gz") as archive:
            archive.extractall(own, filter="data")
        (own / "train").rename(own / "photos")
    if dataset == "fsdd":
        recordings = Path(os.environ[MIRROR]) / "fsdd" / "recordings"
        shutil.copytree(recordings, checkout.root / "data" / "own" / "fsdd")
    checkout.run("genmint", "add", recipe)
    done = checkout.run("dvc", "repro", f"prepare@{dataset}")
    assert "items passed validation" in done.stdout
    assert (checkout.root / "data" / "prepared" / dataset / "meta.json").is_file()
