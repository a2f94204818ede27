"""What a later stage would refuse for its settings alone, params.yaml refuses when it is read."""

from pathlib import Path

import pytest

from genmint.common.errors import ConfigError
from genmint.config import parse_model, parse_params
from genmint.config.fit import grid_sides
from genmint.data.views.spec import DataSpec
from genmint.models.shared import store

PARAMS = """\
datasets:
  faces: {{path: data/own/faces, kind: image, resolution: {resolution}}}
  talk: {{path: data/own/talk, kind: audio, sample_rate: 1000, seconds: {seconds},
          spectrogram: {{n_fft: 32, hop: {hop}, mels: {mels}}}}}
  poems: {{path: data/own/poems, kind: text}}
models:
  a: {{dataset: {dataset}, steps: 1, {model}}}
gates:
  a:
    thresholds: {{{metric}: {{{bound}}}}}
    health: {{{health}}}
    {memorisation}
    champion: {{superior: [{metric}]}}
"""
DEFAULTS = {
    "resolution": 8, "seconds": 0.056, "hop": 8, "mels": 8, "dataset": "faces",
    "model": "family: vae", "metric": "copied", "health": "", "memorisation": "",
    "bound": "max: 0.5",
}  # fmt: skip


def parse(**changed):
    return parse_params(PARAMS.format(**DEFAULTS | changed), Path("params.yaml"))


def refusal(**changed):
    with pytest.raises(ConfigError) as caught:
        parse(**changed)
    return str(caught.value)


def test_the_smallest_grids_are_those_of_the_feature_extractor():
    params = parse()
    assert [grid_sides(params.datasets[name]) for name in ("faces", "talk")] == [(8, 8), (8, 8)]
    assert grid_sides(params.datasets["poems"]) is None
    assert "datasets.faces.resolution: Input should be greater than or equal to 8" in refusal(
        resolution=7
    )
    assert "datasets.talk: spectrogram.mels must be 8 or more" in refusal(mels=7)
    assert refusal(seconds=0.055).endswith(
        "datasets.talk: the spectrogram of 0.055 s at 1000 Hz with hop 8 has 7 columns, and the "
        "feature extractor needs 8: raise seconds, or lower spectrogram.hop"
    )
    assert "has 1 columns" in refusal(seconds=1e-9)


@pytest.mark.parametrize("dataset", ["faces", "talk"])
@pytest.mark.parametrize(
    "model", ["family: vae, network: conv", "family: vae, network: residual",
              "family: gan, network: dcgan", "family: gan, network: residual"]
)  # fmt: skip
@pytest.mark.parametrize("size", [{"resolution": 8, "mels": 8}, {"resolution": 9, "mels": 9}])
def test_a_network_that_halves_its_grid_too_often_is_refused_as_building_it_is(
    dataset, model, size
):
    """The rule here and the network itself agree on how many widths are too many."""
    for widths in range(1, 7):
        settings = f"{model}, hidden: {[4] * widths}"
        sides = (size["resolution"],) * 2 if dataset == "faces" else (size["mels"], 8)
        spec = DataSpec(dataset=dataset, kind="image", view="grid", shape=(1, *sides))
        given = dict(part.split(": ") for part in model.split(", "))
        config = parse_model({**given, "dataset": dataset, "steps": 1, "hidden": [4] * widths})
        try:
            store.build(config, spec)
        except ConfigError:
            words = f"models.a.hidden: its widths halve the grid {widths} times"
            assert words in refusal(dataset=dataset, model=settings, **size)
        else:
            parse(dataset=dataset, model=settings, **size)


@pytest.mark.parametrize("resolutions", range(1, 7))
def test_a_hierarchy_of_too_many_resolutions_is_refused_as_building_it_is(resolutions):
    spec = DataSpec(dataset="faces", kind="image", view="grid", shape=(1, 8, 8))
    groups = [1] * resolutions
    entry = {"family": "vae", "network": "hierarchical", "hierarchy": {"groups": groups}}
    config = parse_model({**entry, "dataset": "faces", "steps": 1})
    model = f"family: vae, network: hierarchical, hierarchy: {{groups: {groups}}}"
    try:
        store.build(config, spec)
    except ConfigError:
        assert resolutions > 4
        words = f"models.a.hierarchy.groups: {resolutions} resolutions halve the grid"
        assert words in refusal(model=model)
        assert "give at most 4 numbers" in refusal(model=model)
    else:
        assert resolutions <= 4
        parse(model=model)


@pytest.mark.parametrize("channels", [64, 65])
def test_a_mixture_of_too_many_latents_is_refused_for_the_grid_that_it_meets(channels):
    """The coarsest of two resolutions of 8×8 has 4×4 positions, and of three 2×2."""
    sampler = "network: hierarchical, sampler: {name: gmm}"
    model = f"family: vae, {sampler}, hierarchy: {{groups: [1, 1, 1], channels: {channels}}}"
    if channels == 64:
        parse(model=model)
        return
    assert refusal(model=model).endswith(
        "models.a.sampler: the coarsest group has 65 latents at each of 2×2 positions, and "
        "sampler.name: gmm takes at most 256: give hierarchy.groups more resolutions, lower "
        "hierarchy.channels, or leave sampler out"
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"metric": "elbo", "model": "family: gan"}, "gates.a.thresholds.elbo: a has no metric elbo: only family: vae has it, and this is a gan; remove it"),
        ({"metric": "bits_per_dim", "model": "family: gan"}, "a gan has no likelihood"),
        ({"metric": "perplexity"}, "faces is image, and the metric is of text"),
        ({"metric": "clipping"}, "faces is image, and the metric is of audio"),
        ({"metric": "confident"}, "gates.a.champion.superior: a has no metric confident: faces has no labels"),
        ({"metric": "confident_stderr"}, "faces has no labels"),
        ({"metric": "kernel_poems_cnn", "dataset": "poems", "model": "family: rnn"}, "the distances of poems are frechet_poems_rnn, kernel_poems_rnn"),
        ({"metric": "frechet_dinov2_s14"}, "the distances of faces are frechet_faces_cnn, frechet_faces_cnn_infinite, kernel_faces_cnn"),
        ({"metric": "fid"}, "the distances of faces are frechet_faces_cnn"),
        ({"metric": "precision", "dataset": "poems", "model": "family: rnn"}, "poems is text, and the metric is of images and audio"),
        ({"metric": "bits_per_dim", "dataset": "talk", "model": "family: rnn"}, "an rnn of audio has bits_per_sample"),
        ({"metric": "in_tune", "dataset": "talk"}, "only family: rnn has it, and this is a vae"),
        ({"health": "min_active_units: 2", "model": "family: gan"}, "gates.a.health.min_active_units: a has no metric active_units"),
        ({"health": "min_coverage: 0.5", "dataset": "poems", "model": "family: rnn"}, "gates.a.health.min_coverage: a has no metric coverage"),
        ({"memorisation": "memorisation: {max_copy_ratio: 2.0}"}, "gates.a.memorisation.max_copy_ratio: a has no metric copy_ratio"),
        ({"memorisation": "memorisation: {min_copying_z: -5.0}", "dataset": "poems", "model": "family: rnn"}, "gates.a.memorisation.min_copying_z: a has no metric copying_z"),
    ],
)  # fmt: skip
def test_a_gate_that_asks_for_what_no_such_model_has_is_refused(changed, message):
    assert message in refusal(**changed)


@pytest.mark.parametrize(
    ("metric", "bound"),
    [("elbo", "min: -9.0"), ("frechet_faces_cnn", "max: 9.0"), ("bits_per_dim_stderr", "max: 1.0")],
)
def test_what_may_be_there_is_not_refused(metric, bound):
    parse(metric=metric, bound=bound)
