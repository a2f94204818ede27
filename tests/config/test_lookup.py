"""Looking up a key of params.yaml by its name."""

import pytest

from genmint.common.errors import ConfigError
from genmint.config.lookup import explain, overview
from genmint.config.settings import all_settings

DOCUMENT = {
    "datasets": {"faces": {"kind": "image", "path": "x", "resolution": 16}},
    "models": {
        "a": {"family": "vae", "latent": 3, "optimiser": {"lr": 0.002, "betas": [0.5, 0.9]}},
        "strange": {"latent": 4},
        "gan": {"family": "rnn"},
        "broken": 5,
    },
    "gates": {"a": {"thresholds": {"elbo": {"min": -24.5}}}},
}


def row(text, label):
    return next(
        line.split(None, 1)[1] for line in text.splitlines() if line.startswith(f"  {label} ")
    )


def test_an_entry_has_its_present_value_too():
    text = explain("models.a.latent", DOCUMENT)
    assert text.startswith("models.a.latent (vae)\n  Number of dimensions of the latent space.")
    assert row(text, "type") == "integer"
    assert row(text, "range") == "1 or more"
    assert row(text, "default") == "16"
    assert row(text, "present") == "3"


@pytest.mark.parametrize(
    ("key", "present"),
    [
        ("models.a.free_bits", "left out, so the default applies"),
        ("models.a.optimiser", "{lr: 0.002, betas: [0.5, 0.9]}"),
        ("models.a.optimiser.lr", "0.002"),
        ("gates.a.thresholds.elbo.min", "-24.5"),
        ("gates.a.mode", "left out, so the default applies"),
        ("models.broken.seed", "left out, so the default applies"),
    ],
)
def test_present_values(key, present):
    assert row(explain(key, DOCUMENT), "present") == present


@pytest.mark.parametrize(
    "key", ["datasets.*.split", "models.vae.free_bits", "gates.*.thresholds", "models.*.steps"]
)
def test_without_an_entry_there_is_no_present_value(key):
    text = explain(key, DOCUMENT)
    assert "  default" in text
    assert "  present" not in text


def test_a_key_that_differs_by_family_is_shown_for_each():
    text = explain("models.*.hidden", DOCUMENT)
    assert [family in text for family in ("(vae)", "(gan)", "(rnn)")] == [True] * 3


def test_the_name_of_an_entry_counts_before_that_of_a_family():
    assert explain("models.gan.cell", DOCUMENT).startswith("models.gan.cell (rnn)")


def test_an_entry_whose_family_is_unknown_has_the_keys_of_all():
    assert "(vae)" in explain("models.strange.latent", DOCUMENT)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("models", ["Keys of models.*:", "  latent", "(vae)"]),
        ("models.a", ["Keys of models.a:", "  free_bits"]),
        ("gates.*.health", ["  type", "Keys of gates.*.health:", "  min_coverage"]),
        ("gates.a.thresholds.elbo", ["Keys of gates.a.thresholds.elbo:", "  baseline"]),
        ("models.gan", ["Keys of models.gan:", "  bptt"]),
    ],
)
def test_a_map_lists_its_keys(key, words):
    text = explain(key, DOCUMENT)
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("models.a.latnet", "did you mean 'models.a.latent'?"),
        ("models.vae.latnet", "did you mean 'models.vae.latent'?"),
        ("models.vae.lr", "did you mean 'models.vae.optimiser.lr'?"),
        ("modles.vae.latent", "did you mean 'models.vae.latent'?"),
        ("models.aa.free_bits", "did you mean 'models.a.free_bits'?"),
        ("latent", "did you mean 'models.*.latent'?"),
        ("modles", "did you mean 'models'?"),
        ("models.a.cell", "did you mean 'models.gan.cell'?"),
        ("gates.a.helth", "did you mean 'gates.a.health'?"),
        ("xyzzy", "the maps are datasets, models, gates, drift"),
        ("", "the maps are datasets, models, gates, drift"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(key, near):
    with pytest.raises(ConfigError) as caught:
        explain(key, DOCUMENT)
    assert caught.value.exit_code == 2
    assert f"params.yaml has no key {key!r}; {near}" == str(caught.value)


@pytest.mark.parametrize("name", [one.name for one in all_settings()])
def test_every_key_can_be_looked_up_by_its_name(name):
    assert explain(name, {}).startswith(name)


def test_lines_fit_the_width():
    for text in (explain("datasets.*.split", {}, 60), overview(DOCUMENT, 60)):
        assert max(len(line) for line in text.splitlines() if "genmint" not in line) <= 60


def test_the_overview_lists_maps_kinds_and_entries():
    text = overview(DOCUMENT)
    assert "models\n" in text
    assert "  family    vae, gan, rnn" in text
    assert "  entries   a, strange, gan, broken" in text
    assert "  entries   none" in text
