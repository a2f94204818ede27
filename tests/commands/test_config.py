"""`genmint config`: what a key of params.yaml means."""

import json
import shutil
from pathlib import Path

import pytest

from genmint.cli import run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_a_key_it_lists_the_maps(checkout, capsys):
    assert run(["config"]) == 0
    shown = capsys.readouterr().out
    for words in ("datasets", "entries   image-vae, image-gan", "gates", "drift"):
        assert words in shown


def test_a_key_of_an_entry(checkout, capsys):
    assert run(["config", "models.image-gan.latent"]) == 0
    shown = capsys.readouterr().out
    for words in ("Number of dimensions", "integer", "1 or more", "default   64", "present   32"):
        assert words in shown


def test_an_unknown_key_is_2_with_the_nearest(checkout, capsys):
    assert run(["config", "models.image-vae.latnet"]) == 2
    assert capsys.readouterr().err == (
        "genmint config: params.yaml has no key 'models.image-vae.latnet'; did you mean "
        "'models.image-vae.latent'?\n"
    )


def test_a_params_yaml_that_is_not_valid_does_not_matter(checkout, capsys):
    params = checkout / "params.yaml"
    params.write_text(params.read_text().replace("latent: 16 ", "latent: -3 "))
    assert run(["config", "models.image-vae.latent"]) == 0
    assert "present   -3" in capsys.readouterr().out


def test_one_that_is_no_yaml_is_2(checkout, capsys):
    (checkout / "params.yaml").write_text("a: [")
    assert run(["config", "models.vae.latent"]) == 2
    assert "params.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "- a\n"])
def test_an_empty_one_has_no_entries(checkout, capsys, text):
    (checkout / "params.yaml").write_text(text)
    assert run(["config", "models.vae.latent"]) == 0
    assert "present" not in capsys.readouterr().out


def test_a_key_as_json(checkout, capsys):
    assert run(["config", "models.image-gan.latent", "--json"]) == 0
    (setting,) = json.loads(capsys.readouterr().out)
    assert (setting["key"], setting["default"]) == ("models.image-gan.latent", "64")
    assert setting["present"] == "32"


def test_all_keys_as_json(checkout, capsys):
    assert run(["config", "--json"]) == 0
    keys = [setting["key"] for setting in json.loads(capsys.readouterr().out)]
    assert {"datasets.*.path", "models.*.latent", "gates.*.mode", "drift.*.window"} <= set(keys)
