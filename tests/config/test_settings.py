"""Every key of params.yaml is documented at its field, in plain English."""

import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import genmint.config
from genmint.common.reading import parse_yaml
from genmint.config import Params
from genmint.config.base import Frozen
from genmint.config.settings import (
    all_settings,
    as_yaml,
    first_sentence,
    kinds_of,
    maps,
)

SETTINGS = all_settings()
NAMES = [setting.name for setting in SETTINGS]
# Numbers without bounds: their description names the unit.
UNIT = re.compile(r"in the unit of the metric|in standard deviations")
# Dialect that the house rules out (the glossary of plain terms).
DIALECT = re.compile(
    r"\b(pictures?|sounds?|trainings|prices?|dearer|cheap\w*|by heart|ills?|ails|cures?"
    r"|(?<!residual )blocks?|for nothing|a no|a yes|knobs?|anew)\b"
)
ROOT = Path(__file__).parents[2]
FILES = [ROOT / "params.yaml", *sorted(ROOT.glob("config/*/*.yaml"))]


def setting(name):
    return SETTINGS[NAMES.index(name)]


def classes():
    """Every class of settings that the package defines."""
    for module in pkgutil.walk_packages(genmint.config.__path__, "genmint.config."):
        for value in vars(importlib.import_module(module.name)).values():
            ours = getattr(value, "__module__", "").startswith("genmint.config")
            if ours and isinstance(value, type) and issubclass(value, Frozen) and value != Frozen:
                yield value


def test_every_field_of_every_class_has_a_description():
    found = set(classes())
    assert Params in found
    assert len(found) > 20
    for owner in found:
        for name, field in owner.model_fields.items():
            assert field.description, f"{owner.__name__}.{name}"


def test_every_class_of_settings_is_listed():
    listed = {s.section for s in SETTINGS} | {
        "Params", "DatasetBase", "ImageDataset", "AudioDataset", "TextDataset", "ModelConfig",
        "GridConfig", "CosineSchedule", "CodebookConfig", "VAEConfig", "GANConfig", "RNNConfig",
        "Gate", "DriftRule",
    }  # fmt: skip
    assert {owner.__name__ for owner in classes()} <= listed


@pytest.mark.parametrize("one", SETTINGS, ids=NAMES)
def test_a_description_is_sentences_in_plain_english(one):
    assert one.description.endswith((".", ").", "}."))
    assert "  " not in one.description
    assert len(one.summary) <= 180
    assert not DIALECT.search(one.description), one.description


@pytest.mark.parametrize("one", SETTINGS, ids=NAMES)
def test_a_number_has_a_range_or_a_unit(one):
    if re.search(r"\b(number|integer)", one.type):
        assert one.range or UNIT.search(one.description)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_comments_of_settings_are_plain_english(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        comment = line.partition("#")[2]
        assert not DIALECT.search(comment), comment


@pytest.mark.parametrize("text", [*maps().values()])
def test_every_map_is_described(text):
    assert text.endswith(".")


def test_settings_say_type_range_and_default():
    latent = setting("models.vae.latent")
    assert (latent.type, latent.range, latent.default) == ("integer", "1 or more", "16")
    share = setting("datasets.*.confirmation")
    assert (share.type, share.range, share.default) == ("number", "0 or more, below 1", "0.05")
    assert setting("models.*.seed").range == "0 or more, below 2^63"
    assert setting("datasets.image.bits").type == "integer, set or null"
    assert setting("models.*.compile").type == "auto, true or false"
    assert setting("models.*.steps").default is None
    betas = setting("models.gan.generator.betas")
    assert (betas.type, betas.range) == ("list of 2 numbers", "each 0 or more, below 1")
    assert setting("models.gan.generator").default == "{lr: 0.0002, betas: [0.5, 0.999]}"
    assert setting("gates.*.thresholds").range == "one entry or more"
    assert setting("gates.*.thresholds.*.min").section == "Bound"


def test_a_key_that_kinds_share_is_one_setting():
    assert setting("datasets.*.split").kinds == kinds_of("datasets") == ("image", "audio", "text")
    assert setting("models.vae.augment.shift").kinds == ("vae", "gan")
    assert kinds_of("gates") == ()
    assert len(set(SETTINGS)) == len(SETTINGS)


def test_the_first_sentence_ends_at_a_full_stop_before_a_blank():
    assert first_sentence("About 0.5 of it. More.") == "About 0.5 of it."
    assert first_sentence("One sentence.") == "One sentence."


_plain = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab:#- 01.{'\"\\,é", max_size=6)


@given(st.recursive(_plain, lambda x: st.lists(x, max_size=3)))
@example(".0")
@example(".inf")
@example("a ")
@example("True")
@example("../faces")
def test_a_value_is_shown_as_it_may_be_written(value):
    read = parse_yaml(f"key: {as_yaml(value)}\n", "params.yaml")
    assert json.dumps(read) == json.dumps({"key": value})
