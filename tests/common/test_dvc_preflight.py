"""What would make DVC fail after the training is found before it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genmint import cli
from genmint.common.project import Project
from genmint.diagnostics import doctor

ROOT = Path(__file__).parents[2]
PARAMS = """\
datasets:
  d: {path: data/sources/d.yaml, kind: image, resolution: 8}
models:
  a: {family: vae, dataset: d, hidden: [8], latent: 2, steps: 10}
gates: {}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    root = tmp_path / "project"
    (root / "data" / "sources").mkdir(parents=True)
    (root / "params.yaml").write_text(PARAMS)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "drive").mkdir()
    monkeypatch.chdir(root)
    return Project(root)


@pytest.mark.parametrize("name", ["data", "models", "metrics", "data/prepared", "reports/gates"])
def test_a_folder_of_outputs_that_is_a_link(name, project, tmp_path, monkeypatch, capsys):
    folder = project.root / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(tmp_path / "drive")
    mark, text = doctor.check(project, "folders")
    assert (mark, str(folder) in text) == ("failed", True)
    monkeypatch.setenv("DVC_STAGE", "train@a")
    assert cli.run(["train", "a"]) == 2
    error = capsys.readouterr().err
    assert f"{folder} is a link to {tmp_path / 'drive'}" in error
    assert "dvc cache dir --local" in error
    assert error.count("\n") == 1
    assert list((tmp_path / "drive").iterdir()) == []


def test_folders_that_are_none_are_ok(project):
    assert doctor.check(project, "folders")[0] == "ok"


def test_dvc_itself_fails_only_at_the_end(tmp_path):
    """The reason for the check; should this fail one day, the check can go."""
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    (root / "dvc.yaml").write_text(
        "stages: {a: {cmd: mkdir models/m && touch models/m/x, outs: [models/m]}}\n"
    )
    (tmp_path / "drive").mkdir()
    (root / "models").symlink_to(tmp_path / "drive")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    command = [sys.executable, "-m", "dvc", "repro", "a"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "outside of git repository" in done.stderr
    assert (tmp_path / "drive" / "m" / "x").is_file()


def test_no_recipe_of_the_makefile_holds_the_folder_of_the_checkout(tmp_path):
    """So no blank, quote or other character in its name can break one."""
    folder = tmp_path / "a b's #%&"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements/constraints.txt"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    targets = (
        "run",
        "test",
        "soak",
        "faults",
        "audit",
        "bench",
        "mutate",
        "lock",
        "ui",
        "services",
    )
    for target in (*targets, "clean"):
        done = subprocess.run(
            ["make", "-n", target, f"PYTHON={Path(sys.executable).name}"],
            cwd=folder, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout
        assert folder.name not in done.stdout
