"""reference on sets for which some metrics have no meaning: left out with the reason."""

import json

import numpy as np
import pytest

from genmint.common.errors import DataError
from genmint.common.files import sha256_file, write_json
from genmint.common.project import Project
from genmint.config import load_params
from genmint.data.prepared import Prepared
from genmint.data.views import tensors
from genmint.evaluation.applicability import BY_CLASS, BY_WORD, by_feature
from genmint.evaluation.reference import read_reference
from genmint.evaluation.samples import SampleJudge, Samples
from genmint.stages import reference

PROTOCOL = {"samples": 24, "importance_samples": 4, "seed": 5, "batch_size": 16}
SPECTROGRAM = {"n_fft": 64, "hop": 32, "mels": 8, "dynamic_range": 80.0}
SIZES = {"train": 160, "validation": 40, "test": 60}


@pytest.fixture
def run(tmp_path, capsys):
    def make(arrays, numbers=None, **about):
        (tmp_path / "dvc.yaml").write_text("stages: {}\n")
        project = Project(tmp_path)
        kind = about["kind"]
        entry = {"path": "own", "kind": kind, "protocol": PROTOCOL, "reference": {"epochs": 8}}
        entry |= {
            "image": {"resolution": 8},
            "audio": {"sample_rate": 4000, "seconds": 0.256, "spectrogram": SPECTROGRAM},
            "text": {"protocol": PROTOCOL | {"samples": 4, "sample_length": 50}},
        }[kind]
        document = {"datasets": {"d": entry}, "models": {}, "gates": {}}
        project.params.write_text(json.dumps(document))
        folder = project.prepared("d")
        folder.mkdir(parents=True)
        for split, array in arrays.items():
            np.save(folder / f"{split}.npy", array)
            if numbers:
                np.save(folder / f"{split}.labels.npy", numbers[split])
        files = {path.name: sha256_file(path) for path in sorted(folder.glob("*.npy"))}
        items = {split: len(array) for split, array in arrays.items()}
        write_json(folder / "meta.json", {"dataset": "d", "items": items, "files": files, **about})
        reference.run(project, load_params(project.params), "d")
        return project, read_reference(project.reference("d")), capsys.readouterr().out

    return make


def shapes(rng, n):
    """Images of two kinds that look different when they are turned."""
    grids = rng.integers(0, 100, (n, 1, 8, 8), dtype=np.uint8)
    kinds = rng.integers(0, 2, n)
    grids[:, :, :3] += 120
    grids[kinds == 1, :, :, :2] += 30
    return grids


def test_a_single_class_is_treated_as_unlabelled(run):
    rng = np.random.default_rng(0)
    arrays = {split: shapes(rng, n) for split, n in SIZES.items()}
    labels = {split: np.zeros(n, dtype=np.int64) for split, n in SIZES.items()}
    about = {"kind": "image", "shape": [1, 8, 8], "labels": ["only"]}
    project, found, told = run(arrays, labels, **about)
    assert found.extractor.task == "rotation"
    assert set(found.left_out) >= set(BY_CLASS)
    assert "have one label" in found.left_out["confident"]
    assert not set(BY_CLASS) & (set(found.baselines) | set(found.real) | set(found.noise_floor))
    assert "left out: confident, classes" in told
    config = type("Config", (), {"conditional": True})
    with pytest.raises(DataError, match="nothing to condition on"):
        tensors.labels_for(config, Prepared(project.prepared("d")), "train")


def test_a_class_with_one_item_or_missing_in_a_split_keeps_the_others(run):
    rng = np.random.default_rng(0)
    arrays, labels = {}, {}
    for split, n in SIZES.items():
        kinds = rng.integers(0, 2, n)
        arrays[split] = rng.integers(0, 100, (n, 1, 8, 8), dtype=np.uint8)
        arrays[split][kinds == 0, :, :3] += 120
        labels[split] = kinds.astype(np.int64)
    labels["train"][0] = 2
    labels["test"][0] = 3
    about = {"kind": "image", "shape": [1, 8, 8], "labels": ["a", "b", "one", "unseen"]}
    _, found, _ = run(arrays, labels, **about)
    assert found.extractor.task == "labels"
    assert not set(BY_CLASS) & set(found.left_out)
    assert all(np.isfinite(value) for value in found.real.values())


def test_labels_that_cannot_be_told_are_left_out(run):
    rng = np.random.default_rng(0)
    arrays = {split: shapes(rng, n) for split, n in SIZES.items()}
    labels = {split: rng.integers(0, 3, n) for split, n in SIZES.items()}
    about = {"kind": "image", "shape": [1, 8, 8], "labels": ["a", "b", "c"]}
    _, found, _ = run(arrays, labels, **about)
    assert found.extractor.task == "rotation"
    assert "no better than chance" in found.left_out["classes"]
    assert "frechet_d_cnn" not in found.left_out


def test_images_without_a_task_keep_no_metric_of_features(run):
    """Rings look the same turned and swapped: no self-supervised task has an answer."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in SIZES.items():
        quarter = rng.integers(0, 256, (n, 1, 2, 2), dtype=np.uint8)
        tile = np.concatenate([quarter, quarter[..., ::-1]], axis=3)
        tile = np.concatenate([tile, tile[..., ::-1, :]], axis=2)
        tile = ((tile.astype(int) + np.rot90(tile, 1, (2, 3))) // 2).astype(np.uint8)
        arrays[split] = np.tile(tile, (1, 1, 2, 2))
    project, found, told = run(arrays, kind="image", shape=[1, 8, 8])
    assert set(found.left_out) >= set(by_feature("d"))
    assert "no better than chance" in found.left_out["frechet_d_cnn"]
    assert "frechet_d_cnn" not in found.baselines
    assert "coverage" not in found.noise_floor
    assert "copied" in found.real
    judge = SampleJudge(Prepared(project.prepared("d")), found, project.reference("d"))
    prepared = Prepared(project.prepared("d"))
    grids = tensors.load(prepared, "test", prepared.spec("grid"))
    judged = judge.metrics(Samples(grids, grids, None, None, 0.0, None, prepared.spec("grid")))
    assert not set(judged) & set(by_feature("d"))
    assert "the features are not meaningful" in told


def test_silence_is_refused_by_name(run):
    arrays = {split: np.zeros((n, 1024), np.int16) for split, n in SIZES.items()}
    about = {"kind": "audio", "shape": [1024], "sample_rate": 4000, "spectrogram": SPECTROGRAM}
    with pytest.raises(DataError, match=r"datasets\.d: .*silence.*nothing can be learnt"):
        run(arrays, **about)


def test_noise_has_no_pitch_and_says_so(run):
    rng = np.random.default_rng(0)
    arrays = {
        split: (rng.normal(0, 3000, (n, 1024)) * np.linspace(1, 0.01, 1024)).astype(np.int16)
        for split, n in SIZES.items()
    }
    about = {"kind": "audio", "shape": [1024], "sample_rate": 4000, "spectrogram": SPECTROGRAM}
    _, found, _ = run(arrays, **about)
    assert "few fixed notes" in found.left_out["in_tune"]
    assert "in_tune" not in found.real


def stream(characters, vocabulary):
    return np.array([1, *(vocabulary.index(c) + 2 for c in characters)], dtype=np.uint16)


def test_text_of_one_character_is_refused_and_of_two_is_judged_by_characters(run, tmp_path):
    rng = np.random.default_rng(0)
    text = {"train": "a" * 900, "validation": "a" * 300, "test": "a" * 300}
    about = {"kind": "text", "shape": [], "vocabulary": ["<unk>", "<s>", "a", "b"]}
    with pytest.raises(DataError, match="repeats a single character"):
        run({split: stream(content, "ab") for split, content in text.items()}, **about)
    folder = Project(tmp_path).prepared("d")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    drawn = {split: "".join(rng.choice(["a", "b"], len(text[split]))) for split in text}
    _, found, _ = run({split: stream(content, "ab") for split, content in drawn.items()}, **about)
    assert set(found.left_out) == {*BY_WORD, "frechet_d_rnn", "kernel_d_rnn"}
    assert found.baselines["bits_per_character"]["trigram"].value == pytest.approx(1, abs=0.1)
