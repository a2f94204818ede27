"""How far trainings differ by seed: measured for real, kept when interrupted, and nothing else."""

import json
import statistics
from pathlib import Path

import numpy as np
import pytest

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.files import sha256_file, write_json
from genmint.config import Protocol, load_params
from genmint.data.prepared import Meta, Prepared
from genmint.decision.comparison import Spread, block_hash
from genmint.evaluation.reference import Reference, write_reference
from genmint.promotion import seed_spread
from genmint.promotion.scores import read_spread

PARAMS = """\
datasets:
  words: {path: data/sources/words.yaml, kind: text}
models:
  tiny:
    {family: rnn, dataset: words, cell: tanh, hidden: 4, embedding: 4, bptt: 8, batch_size: 2,
     steps: 4, validate_every: 2, seed: 3}
gates: {}
"""


@pytest.fixture
def words(workshop):
    (workshop.root / "params.yaml").write_text(PARAMS)
    workshop.project.spread("tiny").unlink()
    rng = np.random.default_rng(0)
    folder = workshop.project.prepared("words")
    folder.mkdir(parents=True)
    files = {}
    sizes = {"train": 400, "validation": 200, "test": 400, "confirmation": 100}
    for split, length in sizes.items():
        stream = rng.integers(2, 8, length)
        stream[0] = 1
        np.save(folder / f"{split}.npy", stream.astype(np.uint16))
        np.save(folder / f"{split}.offsets.npy", np.array([0, length]))
        for name in (f"{split}.npy", f"{split}.offsets.npy"):
            files[name] = sha256_file(folder / name)
    meta = Meta(
        dataset="words",
        kind="text",
        items=dict.fromkeys(sizes, 1),
        shape=(),
        vocabulary=("<unk>", "<s>", *"abcde "),
        files=files,
    )
    write_json(folder / "meta.json", meta.model_dump(mode="json"))
    reference = Reference(
        dataset="words",
        data=Prepared(folder).sha256,
        protocol=Protocol(samples=4, sample_length=32, resamples=3),
        extractor=None,
        baselines={},
        noise_floor={},
        real={},
    )
    workshop.project.reference("words").mkdir(parents=True)
    write_reference(workshop.project.reference("words"), reference)
    return workshop


def files(root):
    return {path for path in root.rglob("*") if path.is_file()}


def measure(workshop, trainings=5):
    return seed_spread.measure_spread(workshop.project, workshop.params, "tiny", trainings)


def test_it_trains_with_seeds_of_its_own_and_writes_one_file(words, capsys):
    before = files(words.root)
    found = measure(words)
    assert files(words.root) - before == {words.project.spread("tiny")}
    assert read_spread(words.project, "tiny") == found
    assert found.seeds == (3, 4, 5, 6, 7)
    assert found.block == block_hash(words.params.models["tiny"])
    assert found.protocol["samples"] == 4
    values = found.values["bits_per_character"]
    assert len(set(values)) == 5
    assert found.standard_deviation["bits_per_character"] == statistics.stdev(values)
    assert "words_in_held_out" in found.values
    assert not any(name.endswith("_stderr") for name in found.values)
    out = capsys.readouterr().out
    assert "tiny: training run 5 of 5, seed 7" in out
    assert "margin at 95%" in out


def test_the_same_seed_gives_the_same_values_as_evaluate_would_compare(words):
    config = words.params.models["tiny"]
    one = seed_spread.measure_seed(words.project, "tiny", config)
    assert seed_spread.measure_seed(words.project, "tiny", config) == one
    other = seed_spread.measure_seed(words.project, "tiny", config.model_copy(update={"seed": 4}))
    assert other.values["bits_per_character"] != one.values["bits_per_character"]


def test_interrupted_it_goes_on_and_has_written_nothing(words, monkeypatch):
    real, seeds = seed_spread.measure_seed, []

    def measure_seed(project, name, config):
        if len(seeds) == 2:
            seeds.append(None)
            raise KeyboardInterrupt
        seeds.append(config.seed)
        return real(project, name, config)

    monkeypatch.setattr(seed_spread, "measure_seed", measure_seed)
    with pytest.raises(KeyboardInterrupt):
        measure(words)
    assert not words.project.spread("tiny").exists()
    assert measure(words).seeds == (3, 4, 5, 6, 7)
    assert seeds == [3, 4, None, 5, 6, 7]


def test_what_was_kept_of_another_block_is_not_used(words, monkeypatch):
    seeds = []

    def measure_seed(project, name, config):
        seeds.append(config.seed)
        if len(seeds) == 3:
            raise KeyboardInterrupt
        return seed_spread.Measured({"elbo": float(config.seed)}, {})

    monkeypatch.setattr(seed_spread, "measure_seed", measure_seed)
    with pytest.raises(KeyboardInterrupt):
        measure(words)
    words.edit("hidden: 4", "hidden: 5")
    measure(words)
    assert seeds == [3, 4, 5, 3, 4, 5, 6, 7]


def test_a_block_that_keeps_the_best_of_several_takes_as_many_for_each(words, monkeypatch):
    words.edit("seed: 3", "seed: 3, seeds: 2")
    monkeypatch.setattr(
        seed_spread,
        "measure_seed",
        lambda *job: seed_spread.Measured({"elbo": float(job[2].seed)}, {}),
    )
    assert measure(words).seeds == (3, 5, 7, 9, 11)


def test_too_few_training_runs_are_refused(words):
    with pytest.raises(ConfigError, match=r"--trainings 4: 5 or more"):
        measure(words, trainings=4)


def test_without_a_reference_it_says_what_makes_one(words):
    (words.project.reference("words") / "reference.json").unlink()
    with pytest.raises(GenmintError, match="dvc repro reference@words"):
        measure(words)


@pytest.mark.parametrize("name", ["image-vae", "image-gan", "text-rnn", "audio-rnn"])
def test_the_shipped_spreads_hold_for_the_shipped_blocks(name):
    root = Path(__file__).parents[2]
    params = load_params(root / "params.yaml")
    found = Spread.model_validate_json((root / "results/seed_spread" / f"{name}.json").read_bytes())
    assert found.block == block_hash(params.models[name])
    protocol = params.datasets[params.models[name].dataset].protocol
    for key in ("samples", "resamples", "sample_length"):
        assert found.protocol[key] == getattr(protocol, key)
    rule = params.gates[name].champion
    for metric in (*rule.superior, *rule.non_inferior):
        assert found.standard_deviation[metric] > 0
    assert json.loads((root / "results/seed_spread" / f"{name}.json").read_text())["model"] == name
