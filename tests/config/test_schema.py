"""The JSON Schema takes what genmint takes, and refuses unknown keys and values out of range."""

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from genmint.config.schema import SCHEMA_FILE, json_schema, schema_text

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "config/recipes").glob("*.yaml"))
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def document(path=ROOT / "params.yaml"):
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def changed(path, value):
    """The shipped params.yaml with one more or one changed key."""
    whole = json.loads(json.dumps(document()))
    *above, last = path.split(".")
    place = whole
    for part in above:
        place = place[part]
    place[last] = value
    return whole


def test_the_committed_file_is_the_one_of_the_fields():
    assert (ROOT / SCHEMA_FILE).read_text(encoding="utf-8") == schema_text(), "run `make docs`"


def test_it_is_a_schema_that_explains_every_key():
    jsonschema.Draft202012Validator.check_schema(json_schema())
    for definition in json_schema()["$defs"].values():
        assert definition["additionalProperties"] is False
        assert all(node["description"] for node in definition["properties"].values())


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *RECIPES], ids=lambda path: path.stem)
def test_what_is_shipped_is_valid(path):
    VALIDATOR.validate(document(path))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("models.image-vae.latnet", 3),
        ("models.text-rnn.free_bits", 0.1),
        ("models.image-vae.optimiser.lrr", 0.1),
        ("datasets.digits.sample_rate", 8000),
        ("datasets.digits.protocol.sample", 8),
        ("gates.image-vae.thresholds.elbo.mini", 8),
        ("drift.digits.windows", 8),
        ("notes", {}),
    ],
)
def test_an_unknown_key_is_refused(path, value):
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("models.image-vae.family", "vea"),
        ("models.image-vae.latent", 0),
        ("models.image-vae.hidden", []),
        ("models.image-vae.optimiser.betas", [0.9]),
        ("models.image-vae.compile", "no"),
        ("datasets.digits.resolution", 2000),
        ("datasets.digits.kind", "audio"),
        ("datasets.digits.test", 0.0),
        ("gates.image-vae.thresholds", {}),
        ("gates.image-vae.thresholds.size", {"min": 1.0}),
        ("models.Image", {}),
        ("datasets.size", {"path": "x", "kind": "text"}),
    ],
)
def test_a_wrong_value_or_name_is_refused(path, value):
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(changed(path, value))


@pytest.mark.parametrize("top", ["datasets", "models", "gates"])
def test_the_three_maps_are_required_and_drift_is_not(top):
    whole = document()
    del whole["drift"]
    VALIDATOR.validate(whole)
    del whole[top]
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(whole)
