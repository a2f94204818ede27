"""Data that grow night by night: a comparison never counts what a champion has trained on.

Each night a delivery comes, a tiny model is trained, gated and promoted. What the comparison
counts is looked at with code of this file alone, in the arrays themselves.
"""

import json
import shutil

import numpy as np
import pytest
import soundfile
from PIL import Image
from tests.stages.conftest import DataProject
from tests.workshop import Workshop, spread_of

from genmint.common.errors import DataError
from genmint.common.files import read_json, write_json
from genmint.config import load_params
from genmint.data.prepared import HELD_OUT, Prepared
from genmint.decision.comparison import block_hash
from genmint.evaluation.recorded import read_evaluation
from genmint.promotion import challenge, snapshot
from genmint.promotion.evidence import check_data
from genmint.promotion.promote import promote
from genmint.stages import evaluate, gate, reference, train

PROTOCOL = {"samples": 8, "resamples": 2, "sample_length": 32}
COMMON = {"validation": 0.2, "test": 0.2, "confirmation": 0.2, "protocol": PROTOCOL}
VAE = {"family": "vae", "hidden": [8], "latent": 2, "steps": 20, "batch_size": 16}
RNN = {"family": "rnn", "cell": "gru", "hidden": 8, "embedding": 4, "steps": 30, "bptt": 16}
RULES = {
    ("vae", "image"): "elbo",
    ("rnn", "text"): "bits_per_character",
    ("rnn", "audio"): "bits_per_sample",
}
WORDS = ["".join(np.random.default_rng(k).choice(list("abcdefgh"), 2 + k % 5)) for k in range(4000)]


class Nights:
    """A project that retrains on each delivery."""

    def __init__(self, root, dataset, model):
        self.data = DataProject(root)
        self.shop = Workshop(root)
        self.rule = RULES[model["family"], dataset["kind"]]
        self.champion = None
        self.counted = {}
        root.mkdir()
        self.configure(dataset, model)

    def configure(self, dataset, model):
        entry = {"path": "data/own/things", "reference": {"epochs": 2}, **COMMON, **dataset}
        if dataset["kind"] == "text":
            del entry["reference"]
        limit = {"min": -1e6} if self.rule == "elbo" else {"max": 40.0}
        document = {
            "datasets": {"own": entry},
            "models": {"tiny": {**model, "dataset": "own"}},
            "gates": {"tiny": {"thresholds": {self.rule: limit},
                               "champion": {"superior": [self.rule]}}},
        }  # fmt: skip
        (self.data.root / "params.yaml").write_text(json.dumps(document))

    @property
    def prepared(self):
        return Prepared(self.data.project.prepared("own"))

    def train(self, seed, **settings):
        """Take the delivery in and train on it; what `dvc repro` does, without DVC."""
        path = self.data.root / "params.yaml"
        document = json.loads(path.read_text())
        document["models"]["tiny"] |= {"seed": seed, **settings}
        path.write_text(json.dumps(document))
        self.data.run()
        report = json.loads(self.data.project.validation("own").read_text())
        kind, items = self.prepared.meta.kind, sum(self.prepared.meta.items.values())
        report |= {"dataset": "own", "kind": kind, "items": items, "quarantined": 0}
        write_json(self.data.project.validation("own"), report)
        project, params = self.data.project, load_params(path)
        reference.run(project, params, "own")
        train.run(project, params, "tiny")
        evaluate.run(project, params, "tiny")
        self.spread(params)
        gate.run(project, params, "tiny")
        self.shop.commit("tiny")

    def spread(self, params):
        """A spread so small that luck with the seed decides nothing here."""
        protocol = read_json(self.data.project.protocol("tiny"))["protocol"]
        found = spread_of("tiny", block_hash(params.models["tiny"]), protocol, (self.rule,))
        write_json(self.data.project.spread("tiny"), found)

    def promote(self):
        (outcome,) = promote(
            self.data.project, load_params(self.data.root / "params.yaml"), ["tiny"]
        )
        if outcome.verdict == "promoted":
            self.champion = contents(self.prepared, "train")
        return outcome

    def night(self, seed, **settings):
        self.train(seed, **settings)
        before = self.champion
        self.counted.clear()
        outcome = self.promote()
        if before is not None:
            for split in HELD_OUT:
                assert not shared(before, self.counted[split]), (split, outcome)
        return outcome


@pytest.fixture
def nights(tmp_path, monkeypatch, empty_store):
    """Make a project; what a comparison counts is copied at the moment that it is decided."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    made = []
    real = challenge.comparable

    def comparable(*args):
        found = real(*args)
        prepared = Prepared(found.project.prepared("own"))
        made[0].counted = {split: contents(prepared, split) for split in HELD_OUT}
        return found

    monkeypatch.setattr(challenge, "comparable", comparable)

    def make(dataset, model):
        made[:] = [Nights(tmp_path / "project", dataset, model)]
        shutil.copy(empty_store, tmp_path / "project" / "mlflow.db")
        return made[0]

    return make


def contents(prepared, split):
    """The items of a split as bytes, or its documents as strings."""
    array = np.array(prepared.array(split))
    if prepared.meta.kind != "text":
        return [item.tobytes() for item in array]
    names = prepared.meta.vocabulary
    text = "".join("\0" if token == 1 else names[token] if token else "\ufffd" for token in array)
    return text.split("\0")


def shared(trained, counted):
    """What is counted though it was trained on: items, or passages of 191 characters."""
    if not trained or not isinstance(trained[0], str):
        return set(trained) & set(counted)
    known = {text[at : at + 191] for text in trained for at in range(len(text) - 190)}
    return {text[at : at + 191] for text in counted for at in range(len(text) - 190)} & known


def images(project, start, count, folder="", who=""):
    """Pictures of two kinds, bright above or below, with noise."""
    for number in range(start, start + count):
        rng = np.random.default_rng(number)
        pixels = rng.integers(0, 100, (8, 8))
        half = slice(0, 4) if number % 2 else slice(4, 8)
        pixels[half] += 120
        Image.fromarray(pixels.astype(np.uint8)).save(
            project.write(f"{folder or number % 2}/{who}{number:05d}.png")
        )


def sounds(project, name, seconds):
    """A recording that begins the same however long it is."""
    noise = np.random.default_rng(len(name)).normal(0, 0.2, 200_000)[: 1000 * seconds]
    soundfile.write(project.write(f"{name}.wav"), np.cumsum(noise) % 1.0 - 0.5, 1000)


def prose(words, seed=0):
    return " ".join(np.random.default_rng(seed).choice(WORDS, words))


IMAGES = {"kind": "image", "resolution": 8, "labels": "folder"}
TEXT = {"kind": "text", "split": "position"}


def test_a_growing_text_is_compared_on_what_is_new_to_both(nights):
    """A champion that knew the confirmation split by heart was never replaced."""
    made = nights(TEXT, RNN)
    text = prose(6000)
    made.data.write("book.txt").write_text(text)
    assert made.night(0, steps=2).verdict == "promoted"
    made.data.write("book.txt").write_text(text + " " + prose(6000, 1))
    outcome = made.night(1, steps=150)
    assert outcome.verdict == "promoted"
    assert "left out" not in outcome.reason


def test_what_moves_from_training_into_a_held_out_split_is_left_out_and_counted(nights):
    """Documents in front of the others move all that are cut by position."""
    made = nights(TEXT, RNN)
    for number in range(5, 10):
        made.data.write(f"{number}.txt").write_text(prose(2500, number))
    made.night(0, steps=2)
    for number in range(1, 3):
        made.data.write(f"{number}.txt").write_text(prose(2500, number))
    outcome = made.night(1, steps=150)
    assert outcome.verdict == "promoted"
    assert "left out, since a model was trained on them: " in outcome.reason
    assert "characters of the split confirmation" in outcome.reason


def test_a_rule_that_is_changed_leaves_out_images_that_trained(nights):
    made = nights(IMAGES, VAE)
    images(made.data, 0, 400)
    made.night(0, steps=2)
    made.configure({**IMAGES, "split": "position"}, VAE)
    images(made.data, 400, 300)
    outcome = made.night(1, steps=300)
    assert outcome.verdict == "promoted"
    assert "left out, since a model was trained on them: " in outcome.reason
    assert "items of the split confirmation" in outcome.reason


def test_too_few_that_are_new_is_no_comparison_and_no_failure(nights, capsys):
    made = nights(IMAGES, VAE)
    images(made.data, 0, 200)
    made.night(0)
    before = made.champion
    made.configure({**IMAGES, "split": "position"}, VAE)
    made.train(1)
    outcome = made.promote()
    assert (outcome.verdict, outcome.exit_code) == ("not comparable", 0)
    assert "a comparison without them needs 30" in outcome.reason
    assert "move the alias" in outcome.reason
    assert made.champion == before
    assert "not comparable" in capsys.readouterr().out


def test_a_champion_whose_training_items_are_not_known_is_not_compared_with(nights):
    made = nights(IMAGES, VAE)
    images(made.data, 0, 200)
    made.train(0)
    # As a project whose prepared data were left behind: the version is stored without the list.
    aside = made.prepared.path.rename(made.data.root / "aside")
    reference_aside = made.data.project.reference("own").rename(made.data.root / "reference")
    lock = json.loads(made.data.project.lock.read_text())
    (outcome,) = promote(made.data.project, load_params(made.data.root / "params.yaml"), ["tiny"])
    assert outcome.verdict == "promoted", outcome
    aside.rename(made.prepared.path)
    reference_aside.rename(made.data.project.reference("own"))
    made.data.project.lock.write_text(json.dumps(lock))
    images(made.data, 200, 50)
    made.train(1, steps=300)
    outcome = made.promote()
    assert outcome.verdict == "not comparable"
    assert "the list of its training items is not stored with it" in outcome.reason


def test_a_new_character_ends_no_comparison(nights):
    """Characters that the champion never saw cost it bits, and both are compared."""
    made = nights(TEXT, RNN)
    text = prose(6000)
    made.data.write("book.txt").write_text(text)
    made.night(0, steps=2)
    text += " ".join(f"ü{word}\U0001f600" for word in prose(6000, 1).split())
    made.data.write("book.txt").write_text(text)
    assert made.night(1, steps=150).verdict == "promoted"
    assert {"ü", "\U0001f600"} <= set(made.prepared.meta.vocabulary)
    # A worse one of the new data is not better than a champion without these characters.
    made.data.write("book.txt").write_text(text + "ß" + prose(3000, 2))
    assert made.night(2, steps=1).verdict == "not better"


def test_a_new_class_is_left_out_where_the_likelihood_is_of_a_class(nights):
    made = nights(IMAGES, {**VAE, "conditional": True})
    images(made.data, 0, 400)
    made.night(0, steps=2)
    images(made.data, 400, 200, folder="new")
    outcome = made.night(1, steps=300)
    assert outcome.verdict == "promoted"
    assert "items of the split test" in outcome.reason


def test_another_size_is_no_comparison_and_no_failure(nights):
    made = nights(IMAGES, VAE)
    images(made.data, 0, 200)
    made.night(0)
    made.configure({**IMAGES, "resolution": 16}, VAE)
    made.train(1)
    outcome = made.promote()
    assert (outcome.verdict, outcome.exit_code) == ("not comparable", 0)
    assert "trained on data of another shape" in outcome.reason


def test_another_list_of_what_was_trained_on_is_not_stored(nights):
    """A list that was swapped while it was copied would hide what the model has seen."""
    made = nights(TEXT, RNN)
    made.data.write("book.txt").write_text(prose(6000))
    made.train(0, steps=2)
    with snapshot.taken(made.data.project, "tiny", "own") as files:
        check_data(made.data.project, files, read_evaluation(files, "tiny", "own"))
        np.save(files.trained("own"), np.zeros(0, dtype=np.uint64))
        with pytest.raises(DataError, match="not what tiny was trained on"):
            check_data(made.data.project, files, read_evaluation(files, "tiny", "own"))


# Each makes the delivery of a night; every delivery but the first has something new in kind, too.
def _labelled(made, night, rng):
    images(made.data, 500 * night, 200 + int(rng.integers(100)))
    if night:
        images(made.data, 50_000 + 100 * night, 40, folder=f"class{night}")


def _grouped(made, night, rng):
    for group in range(12 + 2 * night) if night else range(12):
        start = 10_000 * group + 100 * night
        images(made.data, start, 10 + int(rng.integers(30)), who=f"p{group:02d}-")


def _growing_text(made, night, rng):
    path = made.data.write("book.txt")
    before = path.read_text() if night else ""
    more = prose(int(rng.integers(1500, 4000)), 100 + night)
    path.write_text(before + f" {chr(0xE0 + night)} " + more)


def _many_texts(made, night, rng):
    for number in range(30 + 2 * night):
        path = made.data.write(f"{number * 7 % 100:02d}.txt")
        before = path.read_text() if path.exists() else ""
        path.write_text(before + chr(0x410 + night) + prose(150, 1000 * night + number))


def _recordings(made, night, rng):
    for number in range(12 + night):
        sounds(made.data, "r" * (number + 1), 4 + 2 * night)


AUDIO = {
    "kind": "audio", "sample_rate": 1000, "seconds": 0.25, "windows": "all",
    "spectrogram": {"n_fft": 64, "hop": 16, "mels": 16},
}  # fmt: skip
GROUPED = {
    "kind": "image", "resolution": 8, "split": "group:who", "near_duplicates": 1.0,
    "filename_pattern": r"(?P<who>p[0-9]+)-.*",
}  # fmt: skip
FAST = {**VAE, "optimiser": {"lr": 0.003}}
DELIVERIES = {
    "images with labels": (IMAGES, FAST, _labelled),
    "images by class": (IMAGES, {**FAST, "conditional": True}, _labelled),
    "groups": (GROUPED, FAST, _grouped),
    "one growing text": (TEXT, RNN, _growing_text),
    "many growing texts": ({"kind": "text"}, RNN, _many_texts),
    "growing recordings": (AUDIO, {**RNN, "steps": 10}, _recordings),
}


@pytest.mark.soak
@pytest.mark.parametrize("kind", DELIVERIES)
def test_ten_nights_of_deliveries(nights, kind):
    dataset, model, deliver = DELIVERIES[kind]
    made, rng = nights(dataset, model), np.random.default_rng(1)
    verdicts = []
    for night in range(10):
        deliver(made, night, rng)
        outcome = made.night(night, steps=2 + 40 * night)
        assert outcome.verdict in ("promoted", "not better"), outcome
        verdicts.append(outcome.verdict)
    assert verdicts.count("promoted") >= 3
    if kind != "images by class":
        assert "left out" not in outcome.reason
