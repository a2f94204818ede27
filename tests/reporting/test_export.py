"""`genmint export`: a folder that is whole or not there, loads elsewhere, and says what it is."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image
from tests.registry.models_of_all_kinds import KINDS, write
from tests.workshop import PARAMS

import genmint
from genmint import tracking
from genmint.cli import run
from genmint.common.errors import ConfigError, GenmintError
from genmint.common.files import sha256_file, write_json
from genmint.data.ingestion import sources
from genmint.promotion.promote import promote
from genmint.registry import resolve
from genmint.registry.signature import STORED_WEIGHTS
from genmint.reporting import export as exporting
from genmint.reporting.data_licence import LICENCES, licence_of
from genmint.reporting.export import export

FILES = {
    "model.safetensors", "config.json", "gate.json", "metrics.json", "protocol.json", "README.md",
    "samples/samples.png", "manifest.json",
}  # fmt: skip
SOURCES = Path(__file__).parents[2] / "data" / "sources"


@pytest.fixture
def folder(stocked, tmp_path):
    out = tmp_path / "tiny-2"
    export(stocked.project, "tiny@champion", out)
    return out


def files_of(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_the_folder_has_the_registered_files_and_their_hashes(stocked, folder):
    assert files_of(folder) == FILES
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["files"] == {
        name: sha256_file(folder / name) for name in FILES - {"manifest.json"}
    }
    assert (manifest["name"], manifest["version"]) == ("tiny", "2")
    stored = Path(resolve.champion(stocked.project, "tiny").source.removeprefix("file://"))
    for name in ("model.safetensors", "config.json"):
        assert (folder / name).read_bytes() == (stored / STORED_WEIGHTS / name).read_bytes()
    assert Image.open(folder / "samples/samples.png").size > (100, 100)


def test_it_loads_elsewhere_and_draws_the_same(stocked, folder, tmp_path, monkeypatch):
    expected = genmint.load("tiny@champion", stocked.root)
    shutil.move(folder, tmp_path / "moved")
    shutil.rmtree(stocked.root)
    monkeypatch.chdir(tmp_path)
    for target in ("./moved", tmp_path / "moved", str(tmp_path / "moved")):
        model = genmint.load(target)
        assert (model.name, model.version) == ("tiny", "2")
        assert np.array_equal(model.sample(3, seed=1), expected.sample(3, seed=1))
    # A name is a model of the registry, whatever lies in the working folder.
    with pytest.raises(ConfigError, match=r"genmint checkout .*For the folder .*, write \./moved"):
        genmint.load("moved")


def test_the_code_of_the_card_runs(folder):
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1]
    assert 'genmint.load("./tiny-2")' in code
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder.parent, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_the_card_says_what_it_is(folder):
    card = (folder / "README.md").read_text()
    for part in (
        "# tiny, version 2", "**Gate: passed**", "champion when exported",
        "![samples](samples/samples.png)", "| `elbo` | -15 | -15.2 … -14.8 |",
        "-40 (pixel_bernoulli)", "| licence | not recorded: state", "`thresholds.elbo.min`",
        "dataset: dots", "## Limits", "uint8 N×1×4×4",
    ):  # fmt: skip
        assert part in card, part
    assert "not known: commit" in card
    for link in re.findall(r"\]\(([^)]+)\)", card):
        assert (folder / link).is_file()


def test_a_version_whose_gate_failed_is_refused(stocked, tmp_path, capsys):
    out = tmp_path / "refused"
    with pytest.raises(GenmintError, match=r"tiny/3: it failed its gate .*--allow-refused"):
        export(stocked.project, "tiny/3", out)
    assert not out.exists()
    export(stocked.project, "tiny/3", out, allow_refused=True)
    assert "**Gate: refused**" in (out / "README.md").read_text()
    with pytest.raises(GenmintError, match=r"tiny/3: it failed its gate .*allow_refused=True"):
        genmint.load(out)
    capsys.readouterr()
    genmint.load(out, allow_refused=True)
    assert "tiny/3: it failed its gate" in capsys.readouterr().err


def test_a_gate_in_dry_run_is_reported(workshop, tmp_path, capsys):
    workshop.edit("  tiny:\n    thresholds", "  tiny:\n    mode: dry-run\n    thresholds")
    workshop.make()
    promote(workshop.project, workshop.params, ["tiny"])
    export(workshop.project, "tiny/1", tmp_path / "dry")
    assert "it decided nothing" in (tmp_path / "dry/README.md").read_text()
    capsys.readouterr()
    genmint.load(tmp_path / "dry")
    assert "its gate was in dry-run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "out", "message"),
    [
        ("tiny", "x", r"tiny: export a registered version: tiny@champion, or tiny/3"),
        ("tiny/9", "x", "tiny/9: there is no such version"),
        ("none@champion", "x", "none@champion: there is no such version"),
        ("Tiny!", "x", "write NAME, NAME@alias or NAME/version"),
        ("tiny/2", "full", "full: is not empty"),
        ("tiny/2", "file", "file: is a file"),
        ("tiny/2", "no/where", "there is no folder"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(
    stocked, tmp_path, capsys, monkeypatch, target, out, message
):
    monkeypatch.chdir(stocked.root)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    assert run(["export", target, "--out", str(tmp_path / out)]) in (1, 2)
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1
    assert files_of(tmp_path) >= {"full/mine", "file"}
    assert not (tmp_path / "x").exists()


def test_an_empty_folder_is_used(stocked, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(stocked.root)
    (tmp_path / "empty").mkdir()
    assert run(["export", "tiny@champion", "--out", str(tmp_path / "empty")]) == 0
    assert "its model card is" in capsys.readouterr().out
    assert files_of(tmp_path / "empty") == FILES


def test_a_failure_leaves_nothing_behind(stocked, tmp_path, monkeypatch):
    def fail(facts):
        raise GenmintError("no")

    monkeypatch.setattr(exporting, "model_card", fail)
    with pytest.raises(GenmintError, match="no"):
        export(stocked.project, "tiny/2", tmp_path / "x")
    assert not [path for path in tmp_path.iterdir() if "x" in path.name]


def test_what_another_process_wrote_meanwhile_stays(stocked, tmp_path, monkeypatch):
    out = tmp_path / "x"
    card = exporting.model_card

    def write_there(facts):
        out.mkdir()
        (out / "mine").write_text("mine")
        return card(facts)

    monkeypatch.setattr(exporting, "model_card", write_there)
    with pytest.raises(ConfigError, match="is not empty"):
        export(stocked.project, "tiny/2", out)
    assert files_of(out) == {"mine"}


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "gate.json"])
def test_a_damaged_file_is_not_loaded(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(GenmintError, match=f"{name}: not the file that was exported. Export the"):
        genmint.load(folder)
    (folder / name).unlink()
    with pytest.raises(GenmintError, match=f"{name}: no such file. Export the version again"):
        genmint.load(folder)


def test_a_manifest_that_is_none_is_refused(folder, tmp_path):
    path = folder / "manifest.json"
    path.write_text("{")
    with pytest.raises(GenmintError, match=r"manifest.json: not valid JSON .* Export the version"):
        genmint.load(folder)
    write_json(path, {"format": 2})
    with pytest.raises(GenmintError, match=r"manifest.json: \w+: .* Export the version again"):
        genmint.load(folder)
    path.unlink()
    with pytest.raises(ConfigError, match=r"no manifest\.json, so it is not a folder"):
        genmint.load(folder)
    with pytest.raises(ConfigError, match="no such folder"):
        genmint.load(tmp_path / "nothing")


def test_a_gate_record_of_another_model_does_not_pass(stocked, folder, tmp_path):
    """A passed record beside other weights, with hashes to match."""
    export(stocked.project, "tiny/3", tmp_path / "bad", allow_refused=True)
    shutil.copyfile(folder / "gate.json", tmp_path / "bad/gate.json")
    path = tmp_path / "bad/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["gate.json"] = sha256_file(folder / "gate.json")
    write_json(path, manifest)
    with pytest.raises(GenmintError, match=r"gate\.json decided on other weights"):
        genmint.load(tmp_path / "bad")
    manifest["weights"] = "0" * 64
    write_json(path, manifest)
    with pytest.raises(GenmintError, match=r"names another model than config\.json"):
        genmint.load(tmp_path / "bad")


def test_the_card_may_be_edited(folder):
    (folder / "README.md").write_text("mine")
    (folder / "more").write_text("mine")
    genmint.load(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_fit_the_kind(tmp_path, kind):
    model = write(kind, tmp_path / kind)
    paths, text = exporting._write_samples(model, tmp_path)
    endings = {"text": [".txt"], "clips": [".wav"], "spectrograms": [".wav", ".png"]}
    assert paths == [f"samples/samples{each}" for each in endings.get(kind, [".png"])]
    assert all((tmp_path / path).stat().st_size > 50 for path in paths)
    assert (len(text) == 512) == (kind == "text")


def test_every_source_of_ours_has_a_licence():
    described = get_args(get_args(sources.Description)[0])
    known = {each.model_fields["source"].annotation.__args__[0] for each in described}
    assert LICENCES.keys() == known


def test_the_licence_is_that_of_the_source_or_of_the_folder(workshop):
    project = workshop.project
    description = project.root / "data/sources/dots.yaml"
    description.parent.mkdir(parents=True)
    description.write_text("source: digits\n")
    assert licence_of(project, project, "dots").startswith("CC BY 4.0")
    description.write_text((SOURCES / "mnist-test.yaml").read_text())
    assert licence_of(project, project, "dots").startswith("CC BY-SA 3.0 (Y. LeCun")
    own = project.root / "data/own/dots"
    own.mkdir(parents=True)
    (project.root / "params.yaml").write_text(PARAMS.replace("data/sources/dots.yaml", str(own)))
    assert licence_of(project, project, "dots").startswith("not recorded")
    (own / "LICENSE.txt").write_text("mine")
    assert licence_of(project, project, "dots") == "see LICENSE.txt in the folder of the data"
    assert licence_of(project, project, "other").startswith("not recorded")


def test_a_move_by_hand_to_a_refused_version_is_not_exported(stocked, tmp_path):
    client = MlflowClient(tracking.uri(stocked.project))
    client.set_registered_model_alias("tiny", "champion", "3")
    with pytest.raises(GenmintError, match="was moved by hand to version 3"):
        export(stocked.project, "tiny@champion", tmp_path / "x")
