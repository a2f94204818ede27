"""The champion is measured again where its own figures do not compare, and only there."""

import json
import re
import statistics

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

import genmint.evaluation.score
import genmint.promotion.evidence
from genmint import tracking
from genmint.common.errors import GenmintError
from genmint.common.files import sha256_file, write_json
from genmint.config import Protocol
from genmint.config.models import RNNConfig
from genmint.data.prepared import TRAINED, Meta, Prepared
from genmint.data.splitting.fingerprints import of_text
from genmint.evaluation.reference import Baseline, Reference, write_reference
from genmint.models.shared import store
from genmint.promotion.promote import promote
from genmint.stages import evaluate

PARAMS = """\
datasets:
  words: {path: data/sources/words.yaml, kind: text,
          protocol: {samples: 4, sample_length: 32, seed: 1}}
models:
  tiny: {family: rnn, dataset: words, cell: tanh, hidden: 4, embedding: 4, steps: 1,
         sampling: {temperature: 1.0}}
gates:
  tiny:
    thresholds:
      bits_per_character: {max: 8.0}
    champion: {superior: [bits_per_character]}
"""
VOCABULARY = ("<unk>", "<s>", *"abcdefgh ")


def write_data(workshop, seed=0):
    """Words of skewed letters: a model that knows how often each occurs is much better."""
    rng = np.random.default_rng(seed)
    folder = workshop.project.prepared("words")
    folder.mkdir(parents=True, exist_ok=True)
    shares = np.array([32, 16, 8, 4, 2, 1, 1, 1, 12.0])
    files = {}
    for split, length in (
        ("train", 3000),
        ("validation", 500),
        ("test", 6000),
        ("confirmation", 9000),
    ):
        stream = rng.choice(len(shares), size=length, p=shares / shares.sum()) + 2
        stream[0] = 1
        np.save(folder / f"{split}.npy", stream.astype(np.uint16))
        np.save(folder / f"{split}.offsets.npy", np.array([0, length]))
        np.save(folder / f"{split}.unknown.npy", np.zeros((0, 2), dtype=np.int64))
        for name in (f"{split}.npy", f"{split}.offsets.npy", f"{split}.unknown.npy"):
            files[name] = sha256_file(folder / name)
        if split == "train":
            codes = np.array([ord(VOCABULARY[token]) for token in stream[1:]], dtype=np.uint32)
            np.save(folder / TRAINED, np.unique(of_text([codes])))
            files[TRAINED] = sha256_file(folder / TRAINED)
    meta = Meta(
        dataset="words",
        kind="text",
        items={"train": 1, "validation": 1, "test": 1, "confirmation": 1},
        shape=(),
        vocabulary=VOCABULARY,
        files=files,
    )
    write_json(folder / "meta.json", meta.model_dump(mode="json"))


def setting(workshop, key, value):
    """Change a number of params.yaml; what is written by hand must have been made with it."""
    path = workshop.root / "params.yaml"
    text, count = re.subn(rf"\b{key}: [0-9.]+", f"{key}: {value}", path.read_text())
    assert count == 1
    path.write_text(text)


def write_judge(workshop, seed=1):
    setting(workshop, "seed", seed)
    reference = Reference(
        dataset="words",
        data=Prepared(workshop.project.prepared("words")).sha256,
        protocol=Protocol(samples=4, sample_length=32, seed=seed),
        extractor=None,
        baselines={"bits_per_character": {"trigram": Baseline(value=3.0, stderr=0.1)}},
        noise_floor={},
        real={},
        unfit={},
    )
    folder = workshop.project.reference("words")
    folder.mkdir(parents=True, exist_ok=True)
    write_reference(folder, reference)


def make(workshop, knows, temperature=1.0):
    """A model that knows how often each letter occurs, to the power `knows`; then the stages."""
    setting(workshop, "temperature", temperature)
    prepared = Prepared(workshop.project.prepared("words"))
    config = RNNConfig(
        family="rnn",
        dataset="words",
        cell="tanh",
        hidden=4,
        embedding=4,
        steps=1,
        sampling={"temperature": temperature},
    )
    model = store.build(config, prepared.spec("sequence"))
    counts = np.bincount(prepared.array("train"), minlength=len(VOCABULARY)) + 0.01
    state = model.state_dict()
    (bias,) = [key for key in state if re.search(r"(head|output|out|readout).*bias", key)]
    state[bias] = torch.from_numpy(knows * np.log(counts)).float()
    model.load_state_dict(state)
    folder = workshop.root / "models/tiny"
    folder.mkdir(parents=True, exist_ok=True)
    described = {
        "name": "tiny",
        "model": config,
        "data": prepared.spec("sequence"),
        "prepared": prepared.sha256,
        "resolved": {"precision": "fp32"},
    }
    store.save(folder, model, described)
    (folder / "history.csv").write_text("step,epoch,train_loss,validation_loss\n1,0,2.0,2.1\n")
    write_json(folder / "health.json", {"recoveries": [], "seeds": [{}], "seed_spread": 0.0})
    write_json(workshop.project.validation("words"), {"dataset": "words", "passed": 1})
    run_stages(workshop)


def run_stages(workshop):
    evaluate.run(workshop.project, workshop.params, "tiny")
    workshop.gate()


def write_spread(workshop):
    protocol = json.loads(workshop.project.protocol("tiny").read_text())["protocol"]
    values = (2.40, 2.41, 2.42, 2.40, 2.41)
    workshop.spread(
        protocol=protocol,
        values={"bits_per_character": values},
        standard_deviation={"bits_per_character": statistics.stdev(values)},
    )


def one(workshop):
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    return outcome


@pytest.fixture
def measured(workshop, monkeypatch):
    """A project with a champion, and a list that grows whenever a model is measured."""
    (workshop.root / "params.yaml").write_text(PARAMS)
    write_data(workshop)
    write_judge(workshop)
    make(workshop, knows=0.5)
    write_spread(workshop)
    assert one(workshop).verdict == "promoted"
    calls = []
    real = genmint.evaluation.score.score

    def score(model, record, prepared, reference):
        calls.append(record.weights)
        return real(model, record, prepared, reference)

    monkeypatch.setattr(genmint.evaluation.score, "score", score)
    return calls


def test_figures_of_the_same_protocol_are_read_not_measured(workshop, measured):
    make(workshop, knows=0.9)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.version) == ("promoted", "2"), outcome
    assert "95 % limits" in outcome.reason
    assert ", needed +" in outcome.reason
    assert "; confirmed on a second split: bits_per_character: better by" in outcome.reason
    assert measured == []


def test_another_temperature_needs_no_new_measurement(workshop, measured):
    make(workshop, knows=0.9, temperature=0.7)
    write_spread(workshop)
    assert one(workshop).verdict == "promoted"
    assert measured == []


@pytest.mark.parametrize(("knows", "verdict"), [(0.9, "promoted"), (0.1, "not better")])
def test_under_another_protocol_the_champion_is_measured_again(workshop, measured, knows, verdict):
    write_judge(workshop, seed=2)
    make(workshop, knows=knows)
    assert one(workshop).verdict == verdict
    assert len(measured) == 1


@pytest.mark.parametrize(("knows", "verdict"), [(0.9, "promoted"), (0.1, "not better")])
def test_on_new_data_the_champion_is_measured_again(workshop, measured, knows, verdict):
    write_data(workshop, seed=5)
    write_judge(workshop)
    make(workshop, knows=knows)
    assert one(workshop).verdict == verdict
    assert len(measured) == 1


def test_a_tampered_evaluation_of_the_champion_is_not_believed(workshop, measured):
    """Somebody writes a better figure into the registered metrics of the champion."""
    (registered,) = (workshop.root / "mlartifacts").rglob("evaluation/metrics/tiny.json")
    registered.write_text(registered.read_text().replace("bits_per", "bits_Per"))
    make(workshop, knows=0.9)
    assert one(workshop).verdict == "promoted"
    assert len(measured) == 1


def test_a_champion_with_a_flipped_byte_stops_promotion(workshop, measured):
    (registered,) = (workshop.root / "mlartifacts").rglob("artifacts/weights/model.safetensors")
    content = bytearray(registered.read_bytes())
    content[-1] ^= 1
    registered.write_bytes(content)
    make(workshop, knows=0.9)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1)
    assert "the champion, version 1, cannot be evaluated like the new one" in outcome.reason


def test_a_model_is_evaluated_only_on_its_own_data(workshop, measured):
    write_data(workshop, seed=5)
    write_judge(workshop)
    with pytest.raises(GenmintError, match="trained on other data"):
        run_stages(workshop)


def confirmation_of(workshop, version):
    found = MlflowClient(tracking.uri(workshop.project)).get_model_version("tiny", str(version))
    return json.loads(found.tags.get("genmint.confirmation", "null"))


@pytest.fixture
def confirmed(monkeypatch):
    """A list that grows whenever a model is scored on the confirmation split."""
    calls = []
    real = genmint.evaluation.score.score_on

    def score_on(split, model, record, *rest):
        calls.append((split, record.weights))
        return real(split, model, record, *rest)

    monkeypatch.setattr(genmint.evaluation.score, "score_on", score_on)
    return calls


def test_who_is_not_better_on_the_test_split_never_sees_the_second(workshop, measured, confirmed):
    make(workshop, knows=0.1)
    assert one(workshop).verdict == "not better"
    assert confirmed == []
    assert confirmation_of(workshop, 2) is None


def test_luck_with_the_test_split_is_found_out_once(workshop, measured, confirmed):
    """On the confirmation split the letters have other shares, of which the new model is wrong."""
    folder = workshop.project.prepared("words")
    flat = np.random.default_rng(9).integers(2, len(VOCABULARY), 9000).astype(np.uint16)
    np.save(folder / "confirmation.npy", flat)
    meta = json.loads((folder / "meta.json").read_text())
    meta["files"]["confirmation.npy"] = sha256_file(folder / "confirmation.npy")
    write_json(folder / "meta.json", meta)
    write_judge(workshop)
    make(workshop, knows=0.9)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not better", 0), outcome
    assert ", needed +" in outcome.reason
    assert "but not confirmed on a second split: bits_per_character: worse" in outcome.reason
    assert [split for split, _ in confirmed] == ["confirmation", "confirmation"]
    (kept,) = confirmation_of(workshop, 2)["found"].values()
    assert kept["better"] is False
    # The same weights meet the same champion again: the second split is not looked at.
    assert one(workshop).reason == outcome.reason
    assert len(confirmed) == 2


def test_a_confirmation_that_somebody_edited_stops_promotion(workshop, measured):
    make(workshop, knows=0.9)
    client = MlflowClient(tracking.uri(workshop.project))
    write_spread(workshop)
    workshop.project.spread("tiny").rename(workshop.root / "kept.json")
    assert one(workshop).verdict == "not better"
    (workshop.root / "kept.json").rename(workshop.project.spread("tiny"))
    client.set_model_version_tag("tiny", "2", "genmint.confirmation", '{"x": 1}')
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1)
    said = "the tag genmint.confirmation of version 2 of tiny was not written by genmint"
    assert said in outcome.reason
    client.delete_model_version_tag("tiny", "2", "genmint.confirmation")
    assert one(workshop).verdict == "promoted"


def test_a_confirmation_split_that_was_never_prepared_stops_promotion(workshop, measured):
    folder = workshop.project.prepared("words")
    meta = json.loads((folder / "meta.json").read_text())
    meta["items"]["confirmation"] = 0
    write_json(folder / "meta.json", meta)
    write_judge(workshop)
    make(workshop, knows=0.9)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1)
    assert "the confirmation split is empty. Run `dvc repro gate@tiny`" in outcome.reason


def test_a_confirmation_that_is_switched_off_is_said(workshop, measured, confirmed):
    workshop.edit("kind: text,", "kind: text, confirmation: 0.0,")
    make(workshop, knows=0.9)
    outcome = one(workshop)
    assert outcome.verdict == "promoted"
    assert "not confirmed on a second split, since there is none" in outcome.reason
    assert confirmed == []


def swap_confirmation(workshop, *, meta):
    """Put letters of other shares into the confirmation split, as bit rot or a person does."""
    folder = workshop.project.prepared("words")
    flat = np.random.default_rng(9).integers(2, len(VOCABULARY), 9000).astype(np.uint16)
    np.save(folder / "confirmation.npy", flat)
    if meta:
        content = json.loads((folder / "meta.json").read_text())
        content["files"]["confirmation.npy"] = sha256_file(folder / "confirmation.npy")
        write_json(folder / "meta.json", content)


@pytest.mark.parametrize("meta", [False, True])
def test_a_swapped_confirmation_split_promotes_nothing(workshop, measured, meta):
    make(workshop, knows=0.9)
    swap_confirmation(workshop, meta=meta)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1)
    assert "data/prepared/words" in outcome.reason
    said = "not the data that tiny was measured on" if meta else "changed since it was prepared"
    assert said in outcome.reason


def test_a_split_that_is_swapped_while_it_is_read_promotes_nothing(workshop, measured, monkeypatch):
    real = genmint.evaluation.score.score_on

    def score_on(*arguments):
        swap_confirmation(workshop, meta=False)
        return real(*arguments)

    make(workshop, knows=0.9)
    monkeypatch.setattr(genmint.evaluation.score, "score_on", score_on)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1)
    assert "confirmation.npy: missing or changed since it was prepared" in outcome.reason
    assert confirmation_of(workshop, 2) is None


def test_another_reference_promotes_nothing(workshop, measured):
    make(workshop, knows=0.9)
    write_judge(workshop, seed=3)
    setting(workshop, "seed", 1)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1)
    assert "data/reference/words/reference.json: missing, or not what tiny was" in outcome.reason


def test_a_champion_that_other_code_measured_is_measured_again(workshop, measured, monkeypatch):
    """The metrics of an earlier genmint are no figures to compare with."""
    monkeypatch.setattr(genmint.evaluation.score, "code_sha256", lambda family: "c" * 64)
    monkeypatch.setattr(genmint.promotion.evidence, "code_sha256", lambda family: "c" * 64)
    make(workshop, knows=0.9)
    assert one(workshop).verdict == "promoted"
    assert len(measured) == 1


def test_figures_of_other_code_than_what_is_here_promote_nothing(workshop, measured, monkeypatch):
    make(workshop, knows=0.9)
    monkeypatch.setattr(genmint.promotion.evidence, "code_sha256", lambda family: "c" * 64)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1)
    assert "metrics/tiny.json was measured with other code of genmint" in outcome.reason
