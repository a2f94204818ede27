import json

import numpy as np
import pytest
import torch

from genmint.common.errors import DataError, GenmintError
from genmint.common.files import sha256_file, write_json
from genmint.common.project import Project
from genmint.config import load_params
from genmint.evaluation.extractor import load_extractor
from genmint.evaluation.reference import Baseline, read_reference
from genmint.stages import reference

PROTOCOL = {"samples": 24, "importance_samples": 4, "seed": 5, "batch_size": 16}

NEAR = {"copied", "copying_z", "near_duplicates", "authenticity"}
JUDGED = {"frechet_d_cnn", "kernel_d_cnn", "confident", "classes"}
JUDGED |= {"class_imbalance", "class_kl", "precision", "recall", "density", "coverage"}
READ = {"words_in_held_out", "distinct_1", "distinct_2", "distinct_3", "self_bleu", "repetition"}
READ |= {"novel_4grams", "character_distance", "word_distance"}
SPECTROGRAM = {"n_fft": 64, "hop": 32, "mels": 8, "dynamic_range": 80.0}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    return Project(tmp_path)


def block(project, kind, **settings):
    given = {"path": "data/own/d", "kind": kind, "protocol": PROTOCOL, **settings}
    if kind == "image":
        given |= {"resolution": 8}
    if kind == "audio":
        given |= {"sample_rate": 4000, "seconds": 0.256, "spectrogram": SPECTROGRAM}
    document = {"datasets": {"d": given}, "models": {}, "gates": {}}
    project.params.write_text(json.dumps(document))


def prepare(project, arrays, numbers=None, **meta):
    folder = project.prepared("d")
    folder.mkdir(parents=True, exist_ok=True)
    for split, array in arrays.items():
        np.save(folder / f"{split}.npy", array)
        if numbers:
            np.save(folder / f"{split}.labels.npy", numbers[split])
    written = {
        "dataset": "d",
        "items": {split: len(array) for split, array in arrays.items()},
        "files": {path.name: sha256_file(path) for path in sorted(folder.glob("*.npy"))},
        **meta,
    }
    write_json(folder / "meta.json", written)


def images(project, labelled=True, seed=0, sizes=(160, 40, 60)):
    rng = np.random.default_rng(seed)
    arrays, labels = {}, {}
    for split, n in zip(("train", "validation", "test"), sizes, strict=True):
        classes = rng.integers(0, 3, n)
        grids = rng.integers(0, 100, (n, 1, 8, 8), dtype=np.uint8)
        grids[classes == 0, :, :3] += 120
        grids[classes == 1, :, :, :3] += 120
        grids[classes == 2, :, 2:6, 4:6] += 120
        arrays[split], labels[split] = grids, classes.astype(np.int64)
    names = ["top", "left", "spot"] if labelled else None
    given = labels if labelled else None
    prepare(project, arrays, given, kind="image", shape=[1, 8, 8], labels=names)


def sounds(project, frequencies, sizes=(90, 24, 30)):
    rng = np.random.default_rng(0)
    time = np.arange(1024) / 4000
    arrays = {}
    for split, n in zip(("train", "validation", "test"), sizes, strict=True):
        played = frequencies(rng, n)
        loud = 12_000 * np.exp(-time * 5) * np.sin(2 * np.pi * played[:, None] * time)
        arrays[split] = (loud + rng.normal(0, 60, loud.shape)).astype(np.int16)
    prepare(project, arrays, kind="audio", shape=[1024], sample_rate=4000, spectrogram=SPECTROGRAM)


def text(project, sizes=(6000, 1600, 1600)):
    rng = np.random.default_rng(0)
    vocabulary = ["<unk>", "<s>", *"abcde "]
    arrays = {}
    for split, n in zip(("train", "validation", "test"), sizes, strict=True):
        stream = rng.choice(np.arange(2, 8), n, p=[0.3, 0.2, 0.1, 0.1, 0.1, 0.2])
        stream[0] = 1
        arrays[split] = stream.astype(np.uint16)
    prepare(project, arrays, kind="text", shape=[], vocabulary=vocabulary)


def run(project):
    reference.run(project, load_params(project.params), "d")
    return read_reference(project.reference("d"))


def test_labelled_images(project, capsys):
    block(project, "image")
    images(project)
    found = run(project)
    assert found.extractor.task == "labels"
    assert found.extractor.accuracy > 0.9
    weights = project.reference("d") / "extractor.safetensors"
    assert found.extractor.sha256 == sha256_file(weights)
    assert load_extractor(project.reference("d"))[1].name == "d_cnn"
    assert set(found.baselines) == JUDGED | {"elbo", "importance_weighted_bound", "bits_per_dim"}
    assert set(found.noise_floor) == JUDGED
    noise = found.baselines["frechet_d_cnn"]["mean_plus_noise"].value
    assert 0 < found.noise_floor["frechet_d_cnn"] < 0.5 * noise
    assert {n for n in found.real if not n.endswith("_stderr")} == JUDGED | NEAR
    assert found.real["classes"] == 3
    # Items that no model was trained on are like the test split, and are no copies.
    assert found.real["coverage"] > found.baselines["coverage"]["mean_plus_noise"].value + 0.3
    assert abs(found.real["copying_z"]) < 3
    assert found.real["authenticity"] > 0.3
    assert found.baselines["elbo"]["pixel_bernoulli"].observation == "binary"
    # 64 pixels of 100 grey levels that nobody can guess cost over 6 bits each.
    assert 6 < found.baselines["bits_per_dim"]["pixel_histogram"].value < 8
    assert "d_cnn has accuracy" in capsys.readouterr().out


def test_stacks_are_told_channel_by_channel(project, capsys):
    block(project, "image", labels="source", stack={"items": 160})
    rng = np.random.default_rng(0)
    arrays, labels = {}, {}
    for split, n in {"train": 160, "validation": 40, "test": 60}.items():
        single = rng.integers(0, 2, (n, 3))
        arrays[split] = rng.integers(0, 100, (n, 3, 8, 8), dtype=np.uint8)
        arrays[split][single == 1, :3] += 120
        labels[split] = single @ [4, 2, 1]
    names = [f"{number:03b}" for number in range(8)]
    about = {"kind": "image", "shape": [3, 8, 8], "labels": names, "stacked": ["0", "1"]}
    prepare(project, arrays, labels, **about)
    found = run(project)
    assert found.extractor.accuracy > 0.95
    extractor, told = load_extractor(project.reference("d"))
    assert (told.stacked, told.classes, told.shape) == (True, 2, (3, 8, 8))
    assert extractor.features(torch.from_numpy(arrays["test"])).shape == (60, 96)
    assert found.real["classes"] == 8
    assert found.real["class_kl"] < 0.5 < found.baselines["class_kl"]["mean_plus_noise"].value
    assert set(found.noise_floor) == JUDGED
    assert "d_cnn has accuracy" in capsys.readouterr().out


def test_the_distance_is_extrapolated_where_the_protocol_draws_enough(project):
    block(project, "image", protocol=PROTOCOL | {"samples": 64})
    images(project, sizes=(160, 64, 60))
    found = run(project)
    name = "frechet_d_cnn_infinite"
    assert found.noise_floor[name] < found.noise_floor["frechet_d_cnn"]
    assert abs(found.real[name]) < found.baselines[name]["mean_plus_noise"].value


def test_unlabelled_images_are_told_by_rotation(project):
    block(project, "image", reference={"epochs": 40})
    images(project, labelled=False)
    found = run(project)
    assert found.extractor.task == "rotation"
    assert "confident" not in found.baselines
    assert set(found.noise_floor) == JUDGED - {
        "confident", "classes", "class_imbalance", "class_kl"
    }  # fmt: skip


def test_clips_of_notes_are_classified_by_order_and_judged_by_pitch(project):
    block(project, "audio")
    notes = np.array([200.0, 300.0, 450.0])
    sounds(project, lambda rng, n: rng.choice(notes, n))
    found = run(project)
    assert found.extractor.task == "order"
    assert found.extractor.accuracy > 0.9
    assert found.pitches == pytest.approx(notes, rel=0.005)
    assert found.real["in_tune"] == 1.0
    assert found.real["clipping"] == 0.0
    assert found.real["log_spectral_distance"] < 5
    assert set(found.noise_floor) >= {"log_spectral_distance", "clipping", "silence", "in_tune"}
    assert 0 < found.baselines["bits_per_sample"]["order_1"].value < 8


def test_clips_that_glide_are_not_judged_by_pitch(project):
    block(project, "audio")
    sounds(project, lambda rng, n: 150 * 2 ** rng.uniform(0, 2, n))
    found = run(project)
    assert found.pitches is None
    assert "in_tune" not in found.noise_floor


def test_text_has_a_trigram_and_no_extractor(project):
    block(project, "text", protocol=PROTOCOL | {"samples": 4, "sample_length": 100})
    text(project)
    found = run(project)
    assert found.extractor is None
    assert [path.name for path in project.reference("d").iterdir()] == ["reference.json"]
    # Independent draws: no model beats their entropy.
    p = np.array([0.3, 0.2, 0.1, 0.1, 0.1, 0.2])
    entropy = -(p * np.log2(p)).sum()
    assert found.baselines["bits_per_character"]["trigram"].value == pytest.approx(
        entropy, rel=0.05
    )
    assert set(found.noise_floor) == READ
    assert set(found.real) >= READ | {"copied", "copy_ratio"}
    assert found.real["copy_ratio"] <= 1.5
    perplexity = found.baselines["perplexity"]["trigram"].value
    assert perplexity == pytest.approx(2**entropy, rel=0.15)


def test_equal_data_give_equal_files(project):
    block(project, "image")
    images(project)
    run(project)
    before = {p.name: sha256_file(p) for p in project.reference("d").iterdir()}
    run(project)
    assert {p.name: sha256_file(p) for p in project.reference("d").iterdir()} == before


def test_an_extractor_below_min_accuracy_stops_the_stage_and_writes_nothing(project):
    block(project, "image", reference={"min_accuracy": 0.95, "epochs": 2})
    images(project)
    labels = project.prepared("d") / "train.labels.npy"
    np.save(labels, np.random.default_rng(1).integers(0, 3, 160))
    refresh(project)
    with pytest.raises(DataError, match=r"datasets\.d\.reference.*below min_accuracy 95\.0%"):
        run(project)
    assert not project.reference("d").exists()
    assert list(project.reference("d").parent.iterdir()) == []


def refresh(project):
    path = project.prepared("d") / "meta.json"
    meta = json.loads(path.read_text())
    meta["files"] = {f.name: sha256_file(f) for f in sorted(path.parent.glob("*.npy"))}
    write_json(path, meta)


def test_changed_prepared_files_are_refused(project):
    block(project, "image")
    images(project)
    path = project.prepared("d") / "test.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="changed since it was prepared"):
        run(project)


def test_items_that_are_all_the_same_are_refused_by_name(project):
    block(project, "image")
    same = {split: np.full((20, 1, 8, 8), 9, np.uint8) for split in ("train", "validation", "test")}
    prepare(project, same, kind="image", shape=[1, 8, 8])
    with pytest.raises(DataError, match=r"datasets\.d: all training items"):
        run(project)


@pytest.mark.parametrize("content", ["{", "{}", '{"dataset": "d", "data": 3}'])
def test_a_damaged_reference_is_refused_with_the_remedy(project, content):
    folder = project.reference("d")
    folder.mkdir(parents=True)
    (folder / "reference.json").write_text(content)
    with pytest.raises(GenmintError, match="dvc repro -f reference@d"):
        read_reference(folder)


def test_a_model_faces_only_the_baselines_of_its_own_likelihood(project):
    block(project, "image")
    images(project)
    found = run(project)
    metrics = {"elbo": -1.0, "bits_per_dim": 1.0}
    assert list(found.baselines_for(metrics, "binary")["elbo"]) == ["pixel_bernoulli"]
    assert set(found.baselines_for(metrics, "8bit")["bits_per_dim"]) == {
        "pixel_histogram",
        "order_1",
        "png",
        "webp",
        "webp_mosaic",
    }
    floors = found.noise_floors_for(metrics, "binary")
    entry = found.baselines["elbo"]["pixel_bernoulli"]
    assert isinstance(entry, Baseline)
    assert floors == {
        "elbo": entry.stderr,
        "bits_per_dim": found.baselines["bits_per_dim"]["pixel_bernoulli"].stderr,
    }
