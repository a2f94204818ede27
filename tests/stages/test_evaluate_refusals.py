"""What evaluate refuses, and what its metrics find."""

import json
import shutil

import numpy as np
import pytest
import torch
from tests.stages.trained import finished, project, protocol_of, run  # noqa: F401 - fixtures

from genmint.common.errors import DataError, GenmintError, MismatchError
from genmint.data.prepared import Prepared
from genmint.evaluation.probe import read_probe
from genmint.evaluation.score import score
from genmint.models.shared import store


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
    # Labels are numbered as the model has them, by their names: in another order they are others.
    monkeypatch.setattr(model, "spec", model.spec.model_copy(update={"labels": ("b", "a", "c")}))
    renamed = model.elbo(test, seed=5, labels=torch.tensor([1, 0, 2])[held_out])["elbo"].mean()
    assert score(model, record, prepared, project.reference("shapes")).metrics[
        "elbo"
    ] == pytest.approx(float(renamed), rel=1e-12)
    monkeypatch.setattr(model, "spec", model.spec.model_copy(update={"labels": ("a", "b", "d")}))
    with pytest.raises(MismatchError, match="classes that the model was not trained on"):
        score(model, record, prepared, project.reference("shapes"))


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
