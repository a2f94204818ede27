"""A stand-in of a named extractor, from the mirror to the comparison of two models."""

import json

import pytest
from tests.evaluation.named.standin import standin
from tests.stages.trained import PARAMS, prepare_all, write_model

from genmint.common.errors import ConfigError, DataError
from genmint.common.files import read_json
from genmint.common.project import Project
from genmint.config import load_params
from genmint.config.gates import ChampionRule
from genmint.config.metric_catalogue import metric
from genmint.decision.comparison import Scores, compare
from genmint.evaluation.named.extractor import NamedExtractor, load_any_extractor
from genmint.evaluation.reference import read_reference
from genmint.stages import evaluate, reference

OURS = {"frechet_standin", "kernel_standin"}
SHARED = {"precision", "recall", "density", "coverage"}


def project_with(root, mirror, *, labels="folder", **changes):
    (root / "dvc.yaml").write_text("stages: {}\n")
    project = Project(root)
    content = json.loads(json.dumps(PARAMS))
    content["datasets"]["shapes"] |= {"reference": {"extractor": "standin"}, "labels": labels}
    content["models"] = {"vae": content["models"]["vae"], "gan": content["models"]["gan"]}
    project.params.write_text(json.dumps(content))
    standin(root, mirror, **changes)
    return project


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    monkeypatch.setenv("GENMINT_DATA_MIRROR", str(folder))
    return folder


def test_a_named_extractor_goes_from_the_mirror_to_the_comparison(tmp_path, mirror, capsys):
    project = project_with(tmp_path, mirror)
    params = load_params(project.params)
    prepare_all(project)
    reference.run(project, params, "shapes")
    known = read_reference(project.reference("shapes"))
    assert known.extractor.name == "standin"
    assert known.extractor.task == "labels"
    assert set(known.noise_floor) >= OURS | SHARED | {"confident"}
    assert set(known.baselines) >= OURS
    assert not any(name.endswith("_cnn") for name in [*known.real, *known.baselines])
    assert "64 features" in known.left_out["frechet_standin_infinite"]
    assert (
        known.real["frechet_standin"] < known.baselines["frechet_standin"]["mean_plus_noise"].value
    )
    extractor, info = load_any_extractor(project.reference("shapes"))
    assert isinstance(extractor, NamedExtractor)
    assert info.description.weights.name == "standin.safetensors"

    for name in params.models:
        write_model(project, params, name)
        evaluate.run(project, params, name)
    found = {name: read_json(project.metrics(name)) for name in params.models}
    for values in found.values():
        assert set(values) >= OURS | SHARED | {f"{name}_stderr" for name in OURS}
    protocols = [read_json(project.protocol(name)) for name in params.models]
    assert {one["protocol"]["extractor"] for one in protocols} == {known.extractor.sha256}
    scores = [
        Scores(
            read_json(project.metrics(name)),
            read_json(project.protocol(name))["protocol"],
            {},
            read_json(project.resamples(name)),
        )
        for name in params.models
    ]
    rule = ChampionRule(superior=("frechet_standin",))
    result = compare(rule, lambda name: metric(name).direction, *scores, "no spread", "")
    assert result.contrasts[0].metric == "frechet_standin"


def test_without_labels_there_is_no_classifier(tmp_path, mirror):
    project = project_with(tmp_path, mirror, labels="none")
    prepare_all(project)
    folder = project.prepared("shapes")
    meta = read_json(folder / "meta.json")
    (folder / "meta.json").write_text(json.dumps(meta | {"labels": None}))
    reference.run(project, load_params(project.params), "shapes")
    known = read_reference(project.reference("shapes"))
    assert (known.extractor.task, known.extractor.accuracy) == ("named", None)
    assert "confident" in known.left_out
    assert set(known.real) >= OURS
    assert load_any_extractor(project.reference("shapes"))[0].classifier is None


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"weights": {"sha256": "0" * 64}}, DataError, "wrong checksum"),
        ({"weights": {"sha256": None}}, ConfigError, "weights.sha256 is missing"),
        ({"features": 65}, DataError, "has 64 features, and its description says 65"),
        ({"architecture": "efficientnet-lite0"}, DataError, "not the weights of efficientnet"),
    ],
)
def test_what_does_not_fit_stops_the_stage_and_writes_nothing(
    tmp_path, mirror, change, error, message
):
    project = project_with(tmp_path, mirror, **change)
    prepare_all(project)
    with pytest.raises(error, match=message) as caught:
        reference.run(project, load_params(project.params), "shapes")
    assert "\n" not in str(caught.value)
    assert not project.reference("shapes").exists()


def test_weights_that_are_not_published_do_not_give_a_published_name(tmp_path, mirror, capsys):
    project = project_with(tmp_path, mirror, metric="fid")
    prepare_all(project)
    reference.run(project, load_params(project.params), "shapes")
    assert "so its distance is called frechet_standin" in capsys.readouterr().out
    assert "fid" not in read_reference(project.reference("shapes")).real


def test_a_gate_takes_the_names_of_the_extractor(tmp_path, mirror):
    project = project_with(tmp_path, mirror)
    content = json.loads(project.params.read_text())

    def gated(metric):
        rule = {"thresholds": {metric: {"max": 3.0}}, "champion": {"superior": [metric]}}
        project.params.write_text(json.dumps(content | {"gates": {"gan": rule}}))
        return load_params(project.params)

    assert "frechet_standin" in gated("frechet_standin").gates["gan"].thresholds
    assert gated("fid")
    for other in ("frechet_shapes_cnn", "frechet_other"):
        with pytest.raises(ConfigError, match="frechet_standin, kernel_standin"):
            gated(other)


def test_a_named_extractor_of_audio_is_refused(tmp_path, mirror):
    project = project_with(tmp_path, mirror)
    content = json.loads(project.params.read_text())
    content["datasets"]["tones"]["reference"] = {"extractor": "standin"}
    project.params.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="named extractors are of images: use own"):
        load_params(project.params)
