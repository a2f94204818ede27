"""By whichever road a folder of the user's enters, its manifest is the same, byte for byte."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from ruamel.yaml import YAML
from tests.e2e.conftest import GIT

from genmint.common.project import Project
from genmint.config import load_params
from genmint.stages import ingest

IMAGES = 40
ENTRY = {
    "kind": "image",
    "resolution": 8,
    "labels": "filename",
    "filename_pattern": "(?P<split>train|test)/(?P<label>[a-z]+)-[0-9]+",
    "split": "official",
}


def run(root, *command):
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"


def dvc(root, *arguments):
    run(root, sys.executable, "-m", "dvc", *arguments, "-q")


def repository(root):
    """A git repository that DVC keeps files of."""
    root.mkdir()
    run(root, "git", "init", "-q", "-b", "main")
    dvc(root, "init")
    return root


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """The source data: 40 images, two of which are the same, one damaged, and one other file."""
    folder = tmp_path_factory.mktemp("source") / "pictures"
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        path = (
            folder / ("test" if number % 4 == 0 else "train") / f"{'ab'[number % 2]}-{number}.png"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (10, 8, 3), dtype=np.uint8)).save(path)
    shutil.copy(folder / "train" / "b-1.png", folder / "train" / "b-99.png")
    (folder / "train" / "a-98.png").write_bytes(b"\x89PNG, cut short")
    (folder / "notes.md").write_text("not an image")
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project in a repository of git and DVC."""
    made = repository(tmp_path_factory.mktemp("roads") / "project")
    (made / "dvc.yaml").write_text("stages: {}\n")
    return made


@pytest.fixture(scope="module")
def manifest(root):
    """Ingests a path; returns the bytes of its manifest."""

    def make(path):
        entries = {"datasets": {"own": {"path": str(path), **ENTRY}}, "models": {}, "gates": {}}
        YAML().dump(entries, root / "params.yaml")
        project = Project(root)
        ingest.run(project, load_params(project.params), "own")
        return project.manifest("own").read_bytes()

    return make


@pytest.fixture(scope="module")
def expected(manifest, pictures):
    """The manifest of the folder where it lies, outside of the repository."""
    return manifest(pictures)


def added(root, pictures, name, link):
    """A folder in the repository, in DVC's cache; the files in it are links of the given type."""
    dvc(root, "config", "cache.type", link)
    folder = root / "data" / "own" / name
    shutil.copytree(pictures, folder)
    dvc(root, "add", f"data/own/{name}")
    assert (folder / "train" / "b-1.png").is_symlink() == (link == "symlink")
    return f"data/own/{name}"


def fetched_again(root, pictures):
    """As a colleague gets it: the folder is gone, and comes out of DVC's cache."""
    path = added(root, pictures, "pulled", "copy")
    shutil.rmtree(root / path)
    dvc(root, "checkout", path)
    return path


def linked_folder(root, pictures):
    """`path` itself is a link to a folder on another drive."""
    link = root / "data" / "own" / "link"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(pictures)
    return "data/own/link"


def imported(root, pictures):
    """`dvc import` from another repository of DVC."""
    other = repository(root.parent / "other")
    shutil.copytree(pictures, other / "pictures")
    dvc(other, "add", "pictures")
    run(other, *GIT, "add", ".")
    run(other, *GIT, "commit", "-qm", "pictures")
    (root / "data" / "own").mkdir(parents=True, exist_ok=True)
    dvc(root, "import", str(other), "pictures", "-o", "data/own/imported")
    return "data/own/imported"


def imported_by_address(root, pictures):
    """`dvc import-url` of a folder outside."""
    (root / "data" / "own").mkdir(parents=True, exist_ok=True)
    dvc(root, "import-url", str(pictures), "data/own/by-address")
    return "data/own/by-address"


def of_another_repository(root, pictures):
    """The absolute path of a folder that another repository keeps as links into its own cache."""
    other = repository(root.parent / "linking")
    return other / added(other, pictures, "pictures", "symlink")


def copied_without_dvc(root, pictures):
    """A folder in the repository that neither git nor DVC keeps."""
    shutil.copytree(pictures, root / "data" / "own" / "plain")
    return "./data/own//plain/"


ROADS = {
    "plain": copied_without_dvc,
    "link to a folder": linked_folder,
    "dvc add": lambda root, pictures: added(root, pictures, "added", "copy"),
    "dvc add, cache.type symlink": lambda root, pictures: added(root, pictures, "s", "symlink"),
    "dvc add, cache.type hardlink": lambda root, pictures: added(root, pictures, "h", "hardlink"),
    "dvc checkout": fetched_again,
    "dvc import": imported,
    "dvc import-url": imported_by_address,
    "links into the cache of another repository": of_another_repository,
}
_QUICK = ("plain", "link to a folder", "dvc add, cache.type symlink")


@pytest.mark.parametrize(
    "road",
    [name if name in _QUICK else pytest.param(name, marks=pytest.mark.soak) for name in ROADS],
)
def test_every_road_leads_to_the_same_manifest(root, manifest, pictures, expected, road):
    path = ROADS[road](root, pictures)
    assert manifest(path) == expected
    assert Path(root / path / "train" / "b-1.png").exists()


def test_the_manifest_holds_what_there_is(root, manifest, pictures, expected):
    """So that equal manifests are not equally empty ones."""
    assert manifest(pictures) == expected
    rows = pq.read_table(Project(root).manifest("own")).to_pylist()
    assert len(rows) == IMAGES + 2
    assert [row["id"] for row in rows if row["error"] is not None] == ["train/a-98.png"]
    assert {row["split"] for row in rows} == {"train", "test"}
    assert len({row["sha256"] for row in rows}) == IMAGES + 1


def test_another_byte_in_one_image_is_another_manifest(manifest, pictures, expected, tmp_path):
    shutil.copytree(pictures, tmp_path / "changed")
    image = tmp_path / "changed" / "train" / "b-1.png"
    Image.fromarray(np.zeros((10, 8, 3), dtype=np.uint8)).save(image)
    assert manifest(tmp_path / "changed") != expected
