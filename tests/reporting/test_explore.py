import re
import shutil

import numpy as np
import pytest

from genmint.cli import run
from genmint.common.errors import ConfigError, GenmintError
from genmint.common.files import read_json, sha256_file, write_json
from genmint.config import load_params
from genmint.data.prepared import Prepared
from genmint.data.views.spec import DataSpec
from genmint.models.shared import store
from genmint.reporting.explore import explore

PARAMS = """\
datasets:
  dots: {path: data/sources/dots.yaml, kind: image, resolution: 8}
  words: {path: data/own/words, kind: text}
models:
  vae: {family: vae, dataset: dots, network: conv, hidden: [8, 8], latent: 3, attention: true,
        steps: 1}
  deep: {family: vae, dataset: dots, network: hierarchical, steps: 1,
         hierarchy: {groups: [1, 2], width: 4, channels: 2}}
  coded: {family: vae, dataset: dots, network: vq, hidden: [4], codes: 5, code_width: 2, steps: 1}
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


def test_a_hierarchical_vae_shows_what_each_level_holds(project, tmp_path):
    shown = page(project, "deep", tmp_path)
    assert len(re.findall(r'alt="traversal of latent \d+" src="data:image/png', shown)) == 16
    assert 'alt="levels of latents" src="data:image/png' in shown
    assert "from coarse to fine have 32, 256 latents" in shown
    assert 'alt="map of the latent space" src="data:image/svg' in shown
    assert 'alt="levels of latents"' not in page(project, "vae", tmp_path)


def test_of_codes_there_are_neither_traversals_nor_ways(project, tmp_path):
    shown = page(project, "coded", tmp_path)
    assert 'alt="training items nearest to sample 6" src="data:image/png' in shown
    assert not re.search(r'alt="(traversal|interpolations|map of the latent)', shown)


def test_a_map_and_the_nearest_training_items(project, tmp_path):
    shown = page(project, "vae", tmp_path)
    assert 'alt="map of the latent space" src="data:image/svg' in shown
    assert "10 held-out items in the plane" in shown
    for name in ("vae", "gan"):
        shown = page(project, name, tmp_path)
        assert 'alt="training items nearest to sample 6" src="data:image/png' in shown
    # A GAN needs no data for all else.
    shutil.rmtree(project.prepared("dots"))
    shown = page(project, "gan", tmp_path)
    assert "training items nearest" not in shown
    assert 'alt="interpolations"' in shown


def test_a_model_of_audio_shows_clips_to_listen_to(project, tmp_path):
    _, record = store.load(project.model("rnn"))
    spec = DataSpec(
        dataset="tones", kind="audio", view="sequence", shape=(400,), symbols=256,
        sample_rate=8000, samples=400,
    )  # fmt: skip
    config = record.model.model_copy(update={"dataset": "tones", "attention": 0})
    described = {"name": "rnn", "model": config, "data": spec, "prepared": "d", "resolved": {}}
    store.save(project.model("rnn"), store.build(config, spec), described)
    shown = page(project, "rnn", tmp_path)
    assert len(re.findall(r'<audio controls aria-label="clip \d" src="data:audio/wav', shown)) == 8
    assert 'alt="spectrogram of clip 8" src="data:image/png' in shown


def test_the_page_has_contents_and_names_its_origin(project, tmp_path):
    shown = page(project, "vae", tmp_path)
    linked = re.findall(r'<a href="#(\w+)">', shown)
    assert linked == ["latents", "map", "interpolations", "neighbours", "attention", "about"]
    assert all(f'id="{name}"' in shown for name in linked)
    assert "files in models/vae" in shown
    assert "<dt>commit</dt>" in shown


@pytest.mark.parametrize(
    ("target", "badge"),
    [
        ("tiny@champion", 'yes">version 2, passed its gate'),
        ("tiny/3", 'no">version 3: it failed its gate'),
    ],
)
def test_a_registered_version_comes_with_its_verdict(
    restock, by_hand, no_tracker, tmp_path, target, badge
):
    workshop = restock(tmp_path / "stocked")
    arrays = by_hand(tmp_path / "arrays", PARAMS)
    shutil.rmtree(workshop.project.prepared("dots"))
    shutil.copytree(arrays.prepared("dots"), workshop.project.prepared("dots"))
    for path in workshop.project.prepared("dots").glob("*.npy"):
        np.save(path, np.load(path)[:, :, :4, :4])
    files = {p.name: sha256_file(p) for p in workshop.project.prepared("dots").glob("*.npy")}
    meta = workshop.project.prepared("dots") / "meta.json"
    write_json(meta, {**read_json(meta), "shape": [1, 4, 4], "files": files})
    explore(workshop.project, target, tmp_path / "x.html", seed=0, allow_refused=True)
    assert f"badge {badge}" in (tmp_path / "x.html").read_text()


def test_a_gan_shows_ways(project, tmp_path):
    shown = page(project, "gan", tmp_path)
    assert 'alt="interpolations" src="data:image/png' in shown
    assert 'alt="traversal' not in shown


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
