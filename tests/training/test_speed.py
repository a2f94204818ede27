import json

import numpy as np
import pytest
import torch

from genmint.common.errors import GenmintError
from genmint.common.files import sha256_file, write_json
from genmint.common.project import Project
from genmint.config import load_params, parse_model
from genmint.data.views.spec import DataSpec
from genmint.training import fastest
from genmint.training.bench import advice, bench
from genmint.training.options import SpeedOptions
from genmint.training.speed import Timer, Timing, measure

EAGER = SpeedOptions("fp32", False, False)
COMPILED = SpeedOptions("fp32", True, False)
HALF = SpeedOptions("bf16", False, False)


def config(**changes):
    block = {"family": "vae", "dataset": "d", "hidden": [8], "latent": 2, "steps": 1000}
    return parse_model({**block, "batch_size": 8, "validate_every": 5, **changes})


def test_advice_weighs_the_start_against_the_steps():
    timings = {EAGER: Timing(100.0, 0.0, 10.0), COMPILED: Timing(200.0, 60.0, 20.0)}
    short = advice("m", config(steps=1000), EAGER, timings)
    assert short == "models.m: nothing to gain here; leave it as it is."
    long = advice("m", config(steps=10_000), EAGER, timings)
    assert "set precision: fp32, compile: true: 10000 steps in about 560 s" in long
    assert "instead of 1000 s" in long


def test_a_precision_that_changes_the_weights_is_said_to():
    timings = {EAGER: Timing(100.0, 0.0, 10.0), HALF: Timing(300.0, 0.0, 30.0)}
    assert "bf16 changes the weights" in advice("m", config(), EAGER, timings)


def test_a_gain_within_the_noise_is_none():
    timings = {EAGER: Timing(100.0, 0.0, 10.0), HALF: Timing(103.0, 0.0, 10.3)}
    assert "nothing to gain" in advice("m", config(), EAGER, timings)


def test_every_setting_is_timed_past_the_end_of_a_window():
    spec = DataSpec(dataset="d", kind="image", view="grid", shape=(1, 8, 8))
    train = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
    said = []
    found = measure(
        config(), spec, train, [EAGER, HALF], torch.device("cpu"), Timer(0.2), said.append
    )
    assert list(found) == [EAGER, HALF]
    for timing in found.values():
        assert timing.rate == pytest.approx(8 * timing.steps)
        assert timing.steps > 25
    assert said[0] == "starting precision: fp32, compile: false"
    assert said[-1] == "round 5 of 5: precision: bf16, compile: false"


@pytest.fixture
def project(tmp_path, monkeypatch):
    # Without a compiler nothing is translated, which would take half a minute.
    monkeypatch.setenv("CXX", "no-such-compiler")
    (tmp_path / "params.yaml").write_text(
        "datasets:\n  dots: {path: data/sources/dots.yaml, kind: image, resolution: 8}\n"
        "models:\n  tiny: {family: vae, dataset: dots, network: conv, hidden: [4], latent: 2, "
        "steps: 100, batch_size: 8}\ngates: {}\n"
    )
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    found = Project(tmp_path)
    folder = found.prepared("dots")
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    items = {"train": 60, "validation": 10, "test": 10}
    for split, n in items.items():
        np.save(folder / f"{split}.npy", rng.integers(0, 256, (n, 1, 8, 8), dtype=np.uint8))
    files = {path.name: sha256_file(path) for path in folder.glob("*.npy")}
    meta = {"dataset": "dots", "kind": "image", "items": items, "shape": [1, 8, 8], "files": files}
    write_json(folder / "meta.json", meta)
    return found


def test_it_says_what_it_compared_and_writes_nothing(project, capsys):
    before = sorted(project.root.rglob("*"))
    bench(project, load_params(project.params), "tiny", 0.1)
    said = capsys.readouterr()
    for setting in ("precision: fp32", "precision: bf16", "channels_last: true", "(now)"):
        assert setting in said.out
    assert "models.tiny: " in said.out.splitlines()[-1]
    assert "compile is not tried" in said.err
    assert sorted(project.root.rglob("*")) == before


def test_its_timings_are_what_auto_follows_if_that_is_asked_for(project, capsys, monkeypatch):
    """A training run then takes what was timed as the fastest, and measures nothing itself."""
    monkeypatch.setattr(fastest, "FEWEST_STEPS", 100)
    monkeypatch.setattr(fastest, "_WORTHWHILE", 1e-6)
    monkeypatch.setattr(fastest, "_COMPILATION", 1e9)
    found = bench(project, load_params(project.params), "tiny", 0.1, record=True)
    (path,) = (project.state / "speed").iterdir()
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith(f"recorded in {path}: a training run takes precision: ")
    chosen = said.partition("takes ")[2]
    bench(project, load_params(project.params), "tiny", 0.05)
    assert f"{chosen} (now)" in capsys.readouterr().out
    rates = {tuple(list(each.values())[:3]): each["steps"] for each in found}
    recorded = json.loads(path.read_text())
    assert recorded["step_seconds"] == 1 / rates["fp32", False, False]
    assert {t["steps_per_second"] for t in recorded["timed"]} == set(rates.values())


def test_without_data_it_names_the_remedy(project):
    for path in project.prepared("dots").iterdir():
        path.unlink()
    with pytest.raises(GenmintError, match="prepare@dots"):
        bench(project, load_params(project.params), "tiny", 0.1)
