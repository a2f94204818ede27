"""A damaged object of DVC's cache is named, with the command that ends the loop."""

import re
import shlex
import subprocess
import sys

import pytest

from genmint import cli
from genmint.common.dvc_cache import damage_in_cache
from genmint.common.project import Project

DVC = [sys.executable, "-m", "dvc"]
GRAPH = """\
stages:
  prepare:
    foreach: [dots]
    do:
      cmd: mkdir -p data/prepared/dots && echo '{"a":1}' > data/prepared/dots/meta.json
      outs: [data/prepared/dots]
  evaluate:
    foreach: [tiny]
    do:
      cmd: echo '{"elbo":1}' > tiny.json
      outs: [tiny.json]
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text("datasets: {}\nmodels: {}\n")
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    subprocess.run([*DVC, "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    subprocess.run([*DVC, "repro", "-q"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


def rot(project, text):
    """Change the content of the object that holds `text`, as a disk does; its mode stays."""
    (kept,) = [
        path
        for path in (project.root / ".dvc" / "cache" / "files").rglob("*")
        if path.is_file() and text in path.read_text()
    ]
    mode = kept.stat().st_mode
    kept.chmod(0o644)
    kept.write_text(kept.read_text().replace("1", "7"))
    kept.chmod(mode)
    return kept


@pytest.mark.parametrize(
    ("file", "text", "stage"),
    [
        ("tiny.json", '"elbo":1', "evaluate@tiny"),
        ("data/prepared/dots/meta.json", '"a":1', "prepare@dots"),
    ],
)
def test_the_advice_ends_the_loop(project, file, text, stage):
    path, kept = project.root / file, rot(project, text)
    path.unlink()
    subprocess.run([*DVC, "checkout", "-q", "--force"], cwd=project.root, check=True)
    assert "7" in path.read_text(), "DVC puts the damaged object back"
    said = damage_in_cache(project, path)
    assert f"then run `dvc repro {stage}`" in said
    (remove,) = re.findall(r"`(rm [^`]*)`", said)
    assert shlex.split(remove)[2:] == [str(kept), str(path)]
    subprocess.run(shlex.split(remove), cwd=project.root, check=True)
    subprocess.run([*DVC, "repro", "-q", stage], cwd=project.root, check=True)
    assert "1" in path.read_text()
    assert damage_in_cache(project, path) is None


def test_files_that_are_whole_or_nobodys_get_no_advice(project):
    (project.root / "other").write_text("x")
    assert damage_in_cache(project, project.root / "tiny.json") is None
    assert damage_in_cache(project, project.root / "other") is None
    assert damage_in_cache(project, project.root / "nowhere") is None
    project.lock.unlink()
    assert damage_in_cache(project, project.root / "tiny.json") is None


def test_a_verb_that_fails_on_such_a_file_says_so(project, capsys):
    kept = rot(project, '"a":1')
    entry = "datasets: {dots: {path: own, kind: image, resolution: 8}}\nmodels: {}\ngates: {}\n"
    project.params.write_text(entry)
    (project.root / "data/prepared/dots/meta.json").write_text('{"a":7}')
    assert cli.run(["reference", "dots"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"genmint reference: {project.root}/data/prepared/dots/meta.json: ")
    assert f"rm -f {kept}" in said
