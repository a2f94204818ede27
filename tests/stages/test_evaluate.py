import json
import re
import wave

import numpy as np
import pytest
from PIL import Image
from tests.stages.trained import PROTOCOL, finished, project, protocol_of, run  # noqa: F401 - fixtures

from genmint.common.errors import DataError, GenmintError
from genmint.common.files import sha256_file, write_json
from genmint.config import Bound, Gate, load_params
from genmint.config.fit import problems
from genmint.config.metric_catalogue import METRICS, metric
from genmint.data.prepared import Prepared
from genmint.evaluation.code_hash import code_sha256
from genmint.evaluation.reference import read_reference
from genmint.evaluation.score import score_on
from genmint.models.shared import store
from genmint.stages import evaluate

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


PASSAGES = {"frechet_prose_rnn", "kernel_prose_rnn"}


READ |= {"novel_4grams", "character_distance", "word_distance", "longest_copy", "copy_ratio"}


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
        ("deep", BOUNDS | JUDGED | {"active_units"}),
        ("coded", BOUNDS | JUDGED | {"active_units"}),
        ("gan", JUDGED),
        ("asked", BOUNDS | JUDGED | {"active_units", "label_accuracy"}),
        ("raster", JUDGED | {"bits_per_dim"}),
        ("sound", SOUND | {"bits_per_sample", "in_tune"}),
        ("picture", SOUND | BOUNDS | {"active_units"}),
        ("writer", READ | PASSAGES | {"bits_per_character", "perplexity"}),
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
    real = json.loads((project.reference("shapes") / "reference.json").read_text())["real"]
    assert found["real"] == real
    assert {"frechet_shapes_cnn", "frechet_shapes_cnn_stderr", "density"} < set(real)
    # What the gate asks of the reference.
    assert found["unfit"] == read_reference(project.reference("shapes")).unfit is not None


IMAGE_CODECS = {"png", "webp", "webp_mosaic"}


@pytest.mark.parametrize(
    ("name", "metric_name", "baselines"),
    [
        ("eight-bit", "elbo", {"pixel_histogram"}),
        ("eight-bit", "bits_per_dim", {"pixel_histogram", "order_1"} | IMAGE_CODECS),
        ("vae", "bits_per_dim", {"pixel_bernoulli"}),
        ("raster", "bits_per_dim", {"pixel_histogram", "order_1"} | IMAGE_CODECS),
        ("sound", "bits_per_sample", {"order_1", "flac", "xz"}),
        ("writer", "bits_per_character", {"trigram", "xz"}),
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


@pytest.mark.parametrize(
    "name", ["vae", "deep", "coded", "gan", pytest.param("sound", marks=pytest.mark.soak), "writer"]
)
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
        ("datasets.shapes", "reference", {"epochs": 3}, "reference.epochs: 40",
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
    assert project.sheet("vae").read_bytes() == (folder / "sheet.png").read_bytes()
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


def test_nonfinite_values_of_the_training_run_are_counted(project):
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
