import re
import shutil

import pytest

from genmint.cli import run
from genmint.common.errors import ConfigError, GenmintError
from genmint.config import load_params
from genmint.data.prepared import Prepared
from genmint.models.shared import store
from genmint.reporting.explore import explore

PARAMS = """\
datasets:
  dots: {path: data/sources/dots.yaml, kind: image, resolution: 8}
  words: {path: data/own/words, kind: text}
models:
  vae: {family: vae, dataset: dots, network: conv, hidden: [8, 8], latent: 3, attention: true,
        steps: 1}
  gan: {family: gan, dataset: dots, hidden: [8], latent: 3, steps: 1}
  rnn: {family: rnn, dataset: words, hidden: 8, embedding: 4, attention: 8, steps: 1}
  raster: {family: rnn, dataset: dots, hidden: 8, embedding: 4, steps: 1}
gates: {}
"""


@pytest.fixture
def project(by_hand, tmp_path):
    made = by_hand(tmp_path / "project", PARAMS)
    for name, config in load_params(made.root / "params.yaml").models.items():
        spec = Prepared(made.prepared(config.dataset)).spec(config.view)
        described = {
            "name": name, "model": config, "data": spec, "prepared": "d", "resolved": {},
        }  # fmt: skip
        made.model(name).mkdir(parents=True)
        store.save(made.model(name), store.build(config, spec), described)
    return made


def page(project, name, tmp_path):
    out = tmp_path / f"{name}.html"
    explore(project, name, out, seed=0)
    return out.read_text()


def test_a_vae_shows_latents_ways_and_attention(project, tmp_path):
    shown = page(project, "vae", tmp_path)
    assert len(re.findall(r'alt="traversal of latent [012]" src="data:image/png', shown)) == 3
    assert 'alt="interpolations" src="data:image/png' in shown
    assert 'alt="attention maps" src="data:image/png' in shown
    assert "Surprise" not in shown


def test_a_gan_shows_ways(project, tmp_path):
    shown = page(project, "gan", tmp_path)
    assert 'alt="interpolations" src="data:image/png' in shown
    assert "traversal" not in shown


def test_a_text_shows_the_surprise_of_each_character_and_what_was_looked_at(project, tmp_path):
    shown = page(project, "rnn", tmp_path)
    # 200 characters are held out, and nothing precedes the first.
    assert len(re.findall(r'<span title="\d+\.\d\d bits"', shown)) == 199
    assert 'alt="attention to the past" src="data:image/png' in shown


def test_of_pixels_one_by_one_there_is_nothing_to_show(project, tmp_path):
    with pytest.raises(ConfigError, match="raster has no latents"):
        page(project, "raster", tmp_path)
    assert not (tmp_path / "raster.html").exists()


def test_what_is_missing_is_named(project, tmp_path):
    with pytest.raises(ConfigError, match=r"end the name in \.html"):
        explore(project, "vae", tmp_path / "x.png", seed=0)
    with pytest.raises(GenmintError, match="dvc repro train@none"):
        explore(project, "none", tmp_path / "x.html", seed=0)
    shutil.rmtree(project.prepared("dots"))
    with pytest.raises(GenmintError, match="dvc repro -f prepare@dots"):
        explore(project, "vae", tmp_path / "x.html", seed=0)


def test_the_verb(project, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project.root)
    out = tmp_path / "page.html"
    assert run(["explore", "vae", "--out", str(out)]) == 0
    assert out.is_file()
    assert str(out) in capsys.readouterr().out
    assert run(["explore", "raster", "--out", str(out)]) == 2


def test_a_conditional_model_shows_every_style_with_every_label(project, tmp_path):
    _, record = store.load(project.model("gan"))
    config = record.model.model_copy(update={"conditional": True})
    spec = record.data.model_copy(update={"labels": ("round", "square")})
    described = {"name": "gan", "model": config, "data": spec, "prepared": "d", "resolved": {}}
    store.save(project.model("gan"), store.build(config, spec), described)
    shown = page(project, "gan", tmp_path)
    assert 'alt="analogies" src="data:image/png' in shown
    assert "round, square" in shown
    assert 'alt="interpolations" src="data:image/png' in shown
