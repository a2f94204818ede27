import json
import re
import shutil
import wave

import numpy as np
import pytest
import torch
from PIL import Image

from genmint.catalogue import METRICS, metric
from genmint.config import Bound, Gate, load_params
from genmint.config.fit import problems
from genmint.data.prepared import Prepared
from genmint.errors import DataError, GenmintError
from genmint.files import sha256_file, write_json
from genmint.metrics.code import code_sha256
from genmint.metrics.probe import read_probe
from genmint.metrics.score import score, score_on
from genmint.models import store
from genmint.project import Project
from genmint.stages import evaluate, reference

PROTOCOL = {"samples": 24, "importance_samples": 4, "seed": 5, "batch_size": 16}
SPECTROGRAM = {"n_fft": 64, "hop": 32, "mels": 8, "dynamic_range": 80.0}
PARAMS = {
    "datasets": {
        "shapes": {
            "path": "own", "kind": "image", "resolution": 8, "labels": "folder",
            "protocol": PROTOCOL,
        },
        "tones": {
            "path": "own",
            "kind": "audio",
            "sample_rate": 4000,
            "seconds": 0.128,
            "spectrogram": SPECTROGRAM,
            "protocol": PROTOCOL,
        },
        "prose": {
            "path": "own",
            "kind": "text",
            "protocol": PROTOCOL | {"samples": 4, "sample_length": 60},
        },
    },
    "models": {
        "vae": {"family": "vae", "dataset": "shapes", "hidden": [8], "latent": 3, "steps": 1},
        "eight-bit": {
            "family": "vae",
            "dataset": "shapes",
            "hidden": [8],
            "latent": 3,
            "steps": 1,
            "likelihood": "discretised-logistic",
        },
        "gan": {"family": "gan", "dataset": "shapes", "hidden": [8], "latent": 3, "steps": 1},
        "asked": {"family": "vae", "dataset": "shapes", "hidden": [8], "steps": 1,
                  "conditional": True},
        "raster": {"family": "rnn", "dataset": "shapes", "hidden": 8, "steps": 1},
        "sound": {"family": "rnn", "dataset": "tones", "hidden": 8, "steps": 1},
        "picture": {"family": "vae", "dataset": "tones", "hidden": [8], "latent": 3, "steps": 1},
        "writer": {"family": "rnn", "dataset": "prose", "hidden": 8, "steps": 1},
    },
    "gates": {},
}  # fmt: skip
ALWAYS = {"nonfinite", "recoveries", "copied"}
NEAR = {"copying_z", "near_duplicates", "authenticity"}
PRDC = {"precision", "recall", "density", "coverage"}
DISTANCES = {"frechet_shapes_cnn", "kernel_shapes_cnn"}
JUDGED = DISTANCES | PRDC | NEAR | {"confident", "classes", "class_imbalance", "class_kl"}
BOUNDS = {"elbo", "importance_weighted_bound", "bits_per_dim"}
HEARD = {"log_spectral_distance", "clipping", "silence"}
SOUND = {"frechet_tones_cnn", "kernel_tones_cnn"}
SOUND |= PRDC | NEAR | HEARD
READ = {"words_in_held_out", "distinct_1", "distinct_2", "distinct_3", "self_bleu", "repetition"}
READ |= {"novel_4grams", "character_distance", "word_distance", "longest_copy", "copy_ratio"}


def prepare(project, name, arrays, numbers=None, **meta):
    folder = project.prepared(name)
    folder.mkdir(parents=True)
    for split, array in arrays.items():
        np.save(folder / f"{split}.npy", array)
        if numbers is not None:
            np.save(folder / f"{split}.labels.npy", numbers[split])
    files = {path.name: sha256_file(path) for path in sorted(folder.glob("*.npy"))}
    items = {split: len(array) for split, array in arrays.items()}
    write_json(folder / "meta.json", {"dataset": name, "items": items, "files": files, **meta})


def prepare_all(project):
    rng = np.random.default_rng(0)
    sizes = {"train": 90, "validation": 30, "test": 40}
    numbers = {split: rng.integers(0, 3, n) for split, n in sizes.items()}
    grids = {split: rng.integers(0, 99, (n, 1, 8, 8), dtype=np.uint8) for split, n in sizes.items()}
    for split, classes in numbers.items():
        grids[split][classes == 0, :, :3] += 120
        grids[split][classes == 1, :, :, :3] += 120
    prepare(
        project, "shapes", grids, numbers, kind="image", shape=[1, 8, 8], labels=["a", "b", "c"]
    )
    time = np.arange(512) / 4000
    clips = {}
    for split, n in sizes.items():
        played = rng.choice([200.0, 300.0], n)
        clip = 9000 * np.sin(2 * np.pi * played[:, None] * time) + rng.normal(0, 40, (n, 512))
        clips[split] = clip.astype(np.int16)
    prepare(
        project, "tones", clips, kind="audio", shape=[512], sample_rate=4000,
        spectrogram=SPECTROGRAM,
    )  # fmt: skip
    words = ["abba ", "cab ", "bad ", "dab "]
    letters = "abcd "
    prose = {}
    for split, n in {"train": 900, "validation": 300, "test": 700}.items():
        characters = "".join(rng.choice(words, n))
        prose[split] = np.array([1, *(letters.index(c) + 2 for c in characters)], dtype=np.uint16)
    prepare(project, "prose", prose, kind="text", shape=[], vocabulary=["<unk>", "<s>", *letters])


HEALTHY = {"recoveries": [], "steps": 2, "seeds": [{"seed": 0, "best_step": 2, "loss": 1.5}],
           "seed_spread": 0.0}  # fmt: skip


def write_model(project, params, name, seed=0):
    config = params.models[name].model_copy(update={"seed": seed})
    prepared = Prepared(project.prepared(config.dataset))
    spec = prepared.spec(config.family)
    folder = project.model(name)
    folder.mkdir(parents=True, exist_ok=True)
    described = {
        "name": name,
        "model": config,
        "data": spec,
        "prepared": prepared.sha256,
        "resolved": {"precision": "fp32"},
    }
    record = store.save(folder, store.build(config, spec), described)
    (folder / "history.csv").write_text("step,validation_loss,nonfinite\n1,2.0,0\n2,1.5,0\n")
    write_json(folder / "health.json", HEALTHY)
    return record


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Data, references and untrained models: real files that no test changes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("finished")
    (root / "dvc.yaml").write_text("stages: {}\n")
    project = Project(root)
    project.params.write_text(json.dumps(PARAMS))
    params = load_params(project.params)
    prepare_all(project)
    for name in params.datasets:
        reference.run(project, params, name)
    for name in params.models:
        write_model(project, params, name)
    yield root
    torch.set_num_threads(threads)


@pytest.fixture
def project(finished, tmp_path):
    root = tmp_path / "project"
    shutil.copytree(finished, root)
    return Project(root)


def run(project, name="vae"):
    evaluate.run(project, load_params(project.params), name)
    return json.loads(project.metrics(name).read_text())


def edit(path, change):
    """Change the JSON of a file in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def change_protocol(project, dataset, **changed):
    """Change the protocol in params.yaml and in the reference, which is not made anew."""
    edit(project.params, lambda file: file["datasets"][dataset]["protocol"].update(changed))
    reference = project.reference(dataset) / "reference.json"
    edit(reference, lambda file: file["protocol"].update(changed))


def protocol_of(project, name):
    return json.loads((project.root / "metrics" / f"{name}.protocol.json").read_text())


def without_errors(metrics):
    return {name for name in metrics if not name.endswith("_stderr")}


def assert_gates_may_ask_for_no_other(params, name, metrics):
    """params.yaml is refused if a gate asks for a metric that its model cannot have."""
    dataset = params.models[name].dataset
    every = {entry.pattern.replace("*", dataset) for entry in METRICS}
    # Of several seeds, of many samples, of sets that play notes, of no model but of its cost.
    every -= {"seed_spread", f"frechet_{dataset}_cnn_infinite", "in_tune", *model_cost_names()}
    for asked in every:
        bound = {"thresholds": {asked: Bound(min=0.0)}, "champion": {"superior": (asked,)}}
        gated = params.model_copy(update={"gates": {name: Gate.model_validate(bound)}})
        found = list(problems(gated))
        assert bool(found) == (asked not in metrics), f"{name}: {asked}: {found}"


def model_cost_names():
    return {"parameters", "megabytes", "train_seconds", "sample_milliseconds",
            "samples_per_second", "peak_memory_megabytes"}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vae", BOUNDS | JUDGED | {"active_units"}),
        ("eight-bit", BOUNDS | JUDGED | {"active_units"}),
        ("gan", JUDGED),
        ("asked", BOUNDS | JUDGED | {"active_units", "label_accuracy"}),
        ("raster", JUDGED | {"bits_per_dim"}),
        ("sound", SOUND | {"bits_per_sample", "in_tune"}),
        ("picture", SOUND | BOUNDS | {"active_units"}),
        ("writer", READ | {"bits_per_character", "perplexity"}),
    ],
)
def test_each_family_gets_its_metrics_and_the_catalogue_knows_them(project, name, expected):
    metrics = run(project, name)
    assert without_errors(metrics) == expected | ALWAYS
    assert all(isinstance(value, float) and np.isfinite(value) for value in metrics.values())
    for known in (*metrics, *json.loads(project.cost(name).read_text())):
        metric(known)
    assert_gates_may_ask_for_no_other(load_params(project.params), name, metrics)


def test_the_protocol_ties_metrics_weights_data_and_reference_together(project):
    run(project)
    found = protocol_of(project, "vae")
    assert found["model"] == "vae"
    assert found["weights"] == sha256_file(project.model("vae") / "model.safetensors")
    assert found["config"] == sha256_file(project.model("vae") / "config.json")
    assert found["metrics"] == sha256_file(project.metrics("vae"))
    assert found["items"] == sha256_file(project.samples("vae") / "items.npy")
    assert found["resamples"] == sha256_file(project.samples("vae") / "resamples.json")
    assert found["reference"] == sha256_file(project.reference("shapes") / "reference.json")
    assert found["protocol"] == {
        "data": Prepared(project.prepared("shapes")).sha256,
        "extractor": sha256_file(project.reference("shapes") / "extractor.safetensors"),
        "samples": 24,
        "resamples": 5,
        "sample_length": None,
        "seed": 5,
        "importance_samples": 4,
        "batch_size": 16,
        "dtype": "float32",
        "observation": "binary",
        "temperature": None,
        "code": code_sha256("vae"),
    }
    assert set(found["baselines"]["elbo"]) == {"pixel_bernoulli"}
    assert set(found["baselines"]["frechet_shapes_cnn"]) == {"mean_plus_noise"}
    assert found["noise_floor"]["elbo"] > 0


@pytest.mark.parametrize(
    ("name", "metric_name", "baselines"),
    [
        ("eight-bit", "elbo", {"pixel_histogram"}),
        ("eight-bit", "bits_per_dim", {"pixel_histogram", "order_1"}),
        ("raster", "bits_per_dim", {"pixel_histogram", "order_1"}),
        ("sound", "bits_per_sample", {"order_1"}),
        ("writer", "bits_per_character", {"trigram"}),
    ],
)
def test_a_model_faces_the_baselines_of_its_own_likelihood(project, name, metric_name, baselines):
    run(project, name)
    found = protocol_of(project, name)
    assert set(found["baselines"][metric_name]) == baselines
    assert found["noise_floor"][metric_name] > 0


def test_only_the_cost_differs_between_two_runs(project):
    run(project)
    kept = {p: p.read_bytes() for p in outs(project, "vae")}
    project.cost("vae").unlink()
    run(project)
    assert {p: p.read_bytes() for p in outs(project, "vae")} == kept
    assert project.cost("vae").is_file()


def outs(project, name):
    folder = project.samples(name)
    metrics = project.metrics(name)
    return [metrics, metrics.with_name(f"{name}.protocol.json"), *sorted(folder.iterdir())]


@pytest.mark.parametrize("name", ["vae", "gan", "sound", "writer"])
def test_the_batch_size_changes_no_metric(project, name):
    before = run(project, name)
    change_protocol(project, load_params(project.params).models[name].dataset, batch_size=3)
    assert run(project, name) == before
    assert protocol_of(project, name)["protocol"]["batch_size"] == 3


def test_the_distance_is_extrapolated_where_there_are_samples_enough(project):
    change_protocol(project, "shapes", samples=64)
    metrics = run(project, "gan")
    assert metrics["frechet_shapes_cnn_infinite"] < metrics["frechet_shapes_cnn"]
    assert metrics["frechet_shapes_cnn_infinite_stderr"] > 0


@pytest.mark.parametrize(
    ("entry", "key", "value", "before", "now", "stage"),
    [
        ("models.vae", "latent", 4, "latent: 3", "latent: 4", "train@vae"),
        ("models.vae", "seeds", 2, "seeds: 1", "seeds: 2", "train@vae"),
        ("models.vae", "augment", {"flip": True}, "augment: null", "augment: {", "train@vae"),
        ("datasets.shapes", "resolution", 16, "[1, 8, 8]", "shape: [1, 16, 16]", "prepare@shapes"),
        ("datasets.shapes", "protocol", {**PROTOCOL, "seed": 6}, "protocol.seed: 5",
         "protocol.seed: 6", "reference@shapes"),
        ("datasets.shapes", "reference", {"epochs": 3}, "reference.epochs: 20",
         "reference.epochs: 3", "reference@shapes"),
    ],
)  # fmt: skip
def test_what_was_made_with_other_settings_is_refused(
    project, entry, key, value, before, now, stage
):
    top, name = entry.split(".")
    edit(project.params, lambda file: file[top][name].update({key: value}))
    with pytest.raises(DataError, match=r"was made with .*" + re.escape(before)) as caught:
        run(project)
    assert f", and {entry} has {now}" in str(caught.value)
    assert str(caught.value).endswith(f"Run `dvc repro -f {stage}`.")
    assert not project.metrics("vae").exists()


def test_image_outs(project):
    run(project)
    folder = project.samples("vae")
    drawn = np.load(folder / "samples.npy", allow_pickle=False)
    assert (drawn.dtype, drawn.shape) == (np.uint8, (24, 1, 8, 8))
    items = np.load(folder / "items.npy", allow_pickle=False)
    assert items.shape == (40,)
    metrics = json.loads(project.metrics("vae").read_text())
    assert items.dtype.names == ("elbo", "importance_weighted_bound")
    for name in items.dtype.names:
        assert items[name].mean() == pytest.approx(metrics[name], rel=1e-12)
    assert Image.open(folder / "sheet.png").width > 500
    run(project, "gan")
    assert not (project.samples("gan") / "items.npy").exists()
    assert protocol_of(project, "gan")["items"] is None


@pytest.mark.parametrize("name", ["vae", "gan", "sound", "writer"])
def test_metrics_of_samples_are_measured_on_independent_sets(project, name):
    run(project, name)
    metrics = json.loads(project.metrics(name).read_text())
    resamples = json.loads((project.samples(name) / "resamples.json").read_text())
    of_grids = SOUND if name == "sound" else DISTANCES
    expected = {"words_in_held_out"} if name == "writer" else of_grids - NEAR
    assert expected <= set(resamples)
    for measured, values in resamples.items():
        assert len(values) == 5
        # The first set is the one that is shown; the others are none of its copies.
        assert values[0] == metrics[measured]
        assert f"{measured}_stderr" in metrics
    unrepeated = NEAR | {"copied", "longest_copy", "elbo", "bits_per_sample"}
    assert not unrepeated & set(resamples)
    assert any(len(set(values)) > 1 for values in resamples.values())
    model, record = store.load(project.model(name))
    prepared = Prepared(project.prepared(record.model.dataset))
    reference = project.reference(record.model.dataset)
    again = score_on("test", model, record, prepared, reference, list(expected))
    assert again[2] == resamples


@pytest.mark.parametrize("name", ["sound", "picture"])
def test_sound_outs(project, name):
    run(project, name)
    folder = project.samples(name)
    clips = np.load(folder / "samples.npy", allow_pickle=False)
    assert (clips.dtype, clips.shape) == (np.int16, (24, 512))
    with wave.open(str(folder / "strip.wav")) as stream:
        assert stream.getframerate() == 4000
    assert (folder / "sheet.png").is_file()
    assert (folder / "grids.npy").exists() == (name == "picture")


def test_text_outs(project):
    run(project, "writer")
    folder = project.samples("writer")
    symbols = np.load(folder / "symbols.npy", allow_pickle=False)
    assert (symbols.dtype, symbols.shape) == (np.int64, (4, 60))
    assert len((folder / "text.txt").read_text().split(evaluate._RULE)) == 4
    test = Prepared(project.prepared("prose")).array("test")
    items = np.load(folder / "items.npy", allow_pickle=False)
    bits = -items["log_likelihood"].sum() / (len(test) - 1) / np.log(2)
    metrics = json.loads(project.metrics("writer").read_text())
    assert metrics["bits_per_character"] == pytest.approx(bits)


def test_cost_is_measured_and_training_time_is_taken_from_where_train_left_it(project):
    run(project)
    cost = json.loads(project.cost("vae").read_text())
    weights = project.model("vae") / "model.safetensors"
    assert cost["megabytes"] == weights.stat().st_size / 1e6
    model, _ = store.load(project.model("vae"))
    assert cost["parameters"] == sum(p.numel() for p in model.parameters())
    assert cost["sample_milliseconds"] > 0
    assert cost["samples_per_second"] > 0
    assert cost["peak_memory_megabytes"] > 50
    assert "train_seconds" not in cost
    write_json(project.state / "cost" / f"{sha256_file(weights)}.json", {"train_seconds": 12.5})
    run(project)
    assert json.loads(project.cost("vae").read_text())["train_seconds"] == 12.5


def test_nonfinite_values_of_the_training_are_counted(project):
    history = project.model("vae") / "history.csv"
    history.write_text("step,validation_loss,nonfinite\n1,nan,2\n2,inf,1\n3,1.0,0\n")
    assert run(project)["nonfinite"] == 5.0


def test_recoveries_and_the_spread_of_seeds_become_metrics_a_gate_can_bound(project):
    path = project.model("vae") / "health.json"
    found = run(project)
    assert found["recoveries"] == 0.0
    assert "seed_spread" not in found
    seeds = [{"seed": seed, "best_step": 2, "loss": 1.5 + seed} for seed in range(3)]
    write_json(path, {"recoveries": [{}, {}], "steps": 2, "seeds": seeds, "seed_spread": 1.0})
    found = run(project)
    assert (found["recoveries"], found["seed_spread"]) == (2.0, 1.0)
    path.unlink()
    with pytest.raises(GenmintError, match=r"health\.json: no such file.*train@vae"):
        run(project)


def spoil(project, name, value):
    """Put `value` into the weights, and let config.json know."""
    model, record = store.load(project.model(name))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    described = record.model_dump(include={"name", "prepared", "resolved"})
    described |= {"model": record.model, "data": record.data}
    store.save(project.model(name), model, described)


@pytest.mark.parametrize(
    ("name", "metric_name"), [("vae", "elbo"), ("writer", "bits_per_character")]
)
def test_a_metric_that_is_not_finite_stops_the_stage_and_is_named(project, name, metric_name):
    spoil(project, name, float("nan"))
    with pytest.raises(GenmintError, match=rf"models\.{name}: the metric {metric_name} is nan"):
        run(project, name)
    assert not project.metrics(name).exists()
    assert not project.samples(name).exists()


def test_a_model_of_other_data_is_refused(project):
    path = project.prepared("shapes") / "meta.json"
    path.write_text(path.read_text().replace('"a"', '"z"'))
    with pytest.raises(DataError, match=r"trained on other data.*dvc repro train@vae"):
        run(project)
    assert not project.metrics("vae").exists()


def test_a_reference_of_other_data_is_refused(project):
    path = project.reference("shapes") / "reference.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | {"data": "0" * 64}))
    with pytest.raises(DataError, match="dvc repro reference@shapes"):
        run(project)


def test_a_swapped_extractor_is_refused(project):
    folder = project.reference("shapes")
    other = project.reference("tones") / "extractor.safetensors"
    shutil.copy(other, folder / "extractor.safetensors")
    with pytest.raises(DataError, match="dvc repro -f reference@shapes"):
        run(project, "gan")


def test_an_extractor_with_one_byte_changed_is_refused(project):
    path = project.reference("shapes") / "extractor.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="not the extractor that"):
        run(project, "gan")


def test_a_missing_model_is_refused(project):
    shutil.rmtree(project.model("vae"))
    with pytest.raises(GenmintError, match="dvc repro train@vae"):
        run(project)


def test_a_champion_of_earlier_data_can_be_scored_but_not_one_of_another_shape(project):
    model, record = store.load(project.model("vae"))
    prepared = Prepared(project.prepared("shapes"))
    older = record.model_copy(update={"prepared": "0" * 64})
    found = score(model, older, prepared, project.reference("shapes"))
    assert found.metrics["elbo"] == run(project)["elbo"]
    assert found.protocol == protocol_of(project, "vae")["protocol"]
    wider = record.data.model_copy(update={"shape": (1, 8, 9)})
    other = record.model_copy(update={"data": wider})
    with pytest.raises(DataError, match="another shape"):
        score(model, other, prepared, project.reference("shapes"))


def test_a_replaying_model_is_caught_and_an_untrained_one_is_not(project, monkeypatch):
    model, record = store.load(project.model("gan"))
    prepared = Prepared(project.prepared("shapes"))
    folder = project.reference("shapes")
    assert score(model, record, prepared, folder).metrics["copied"] == 0.0
    train = torch.from_numpy(np.array(prepared.array("train")))
    monkeypatch.setattr(model, "sample", lambda n, **_: train[:n])
    replayed = score(model, record, prepared, folder).metrics
    assert replayed["copied"] == replayed["near_duplicates"] == 1.0
    assert replayed["authenticity"] == 0.0
    assert replayed["copying_z"] < -6
    # A replay is a perfect draw by every other measure.
    noise = protocol_floor(folder)
    assert replayed["frechet_shapes_cnn"] < 4 * noise


def protocol_floor(folder):
    return json.loads((folder / "reference.json").read_text())["noise_floor"]["frechet_shapes_cnn"]


def test_a_collapsed_generator_scores_badly_rather_than_failing(project, monkeypatch):
    model, record = store.load(project.model("gan"))
    prepared = Prepared(project.prepared("shapes"))
    same = torch.full((24, 1, 8, 8), 40, dtype=torch.uint8)
    monkeypatch.setattr(model, "sample", lambda n, **_: same)
    found = score(model, record, prepared, project.reference("shapes")).metrics
    assert found["classes"] == 1.0
    assert found["class_imbalance"] > 0.5
    assert found["coverage"] < 0.3
    assert found["frechet_shapes_cnn"] > 10 * protocol_floor(project.reference("shapes"))


@pytest.mark.parametrize(
    ("name", "beside"), [("vae", set()), ("gan", set()), ("sound", {"wav"}), ("writer", {"txt"})]
)
def test_the_probe_set_is_drawn_and_shown(project, name, beside):
    run(project, name)
    folder = project.samples(name)
    probe = read_probe(folder / "probe.npz")
    assert probe.ids
    assert {path.suffix[1:] for path in folder.glob("probe.*")} == {"npz", "png"} | beside


def test_a_conditional_model_is_judged_by_the_labels_it_was_asked_for(project, monkeypatch):
    model, record = store.load(project.model("asked"))
    prepared = Prepared(project.prepared("shapes"))
    train, of_train, test, held_out = (
        torch.from_numpy(np.array(read(split)))
        for split in ("train", "test")
        for read in (prepared.array, prepared.labels)
    )
    asked = []

    def sample(n, *, labels, **_):
        """The first training items of the classes that were asked for."""
        asked.append(labels)
        rows = [torch.nonzero(of_train == label)[i % 9, 0] for i, label in enumerate(labels)]
        return train[torch.stack(rows)]

    monkeypatch.setattr(model, "sample", sample)
    found = score(model, record, prepared, project.reference("shapes"))
    known = json.loads((project.reference("shapes") / "extractor.json").read_text())
    assert found.metrics["label_accuracy"] > known["accuracy"] - 0.1
    assert len(found.resamples["label_accuracy"]) == 5
    assert [labels.tolist() for labels in asked] == [
        model.drawn_labels(24, 5 + number).tolist() for number in range(5)
    ]
    assert found.protocol["conditional"] is True
    expected = model.elbo(test, seed=5, labels=held_out)["elbo"].mean()
    assert found.metrics["elbo"] == pytest.approx(float(expected), rel=1e-12)
    other = record.model_copy(
        update={"data": record.data.model_copy(update={"labels": ("b", "a", "c")})}
    )
    with pytest.raises(DataError, match="another set of labels"):
        score(model, other, prepared, project.reference("shapes"))


def test_the_labels_of_samples_are_kept_and_probed(project):
    run(project, "asked")
    folder = project.samples("asked")
    model, _ = store.load(project.model("asked"))
    assert np.load(folder / "labels.npy").tolist() == model.drawn_labels(24, 5).tolist()
    probe = read_probe(folder / "probe.npz")
    assert probe.ids[:4] == tuple(
        f"shapes/20000/z16/{i:03d}-{name}" for i, name in enumerate("abca")
    )
    prepared = Prepared(project.prepared("shapes"))
    numbers = {
        item.tobytes(): int(label)
        for item, label in zip(prepared.array("test"), prepared.labels("test"), strict=True)
    }
    labels = torch.tensor([numbers[item.tobytes()] for item in probe.items])
    again = model.reconstruct(torch.from_numpy(probe.items), labels=labels)
    assert np.array_equal(again.numpy(), probe.reconstructions)
