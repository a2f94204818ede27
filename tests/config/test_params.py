"""params.yaml: what it takes, and how it says what it does not take."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from ruamel.yaml import YAML

from genmint.common.errors import ConfigError
from genmint.config import Params, load_params, parse_model, parse_params
from genmint.config.schema import SCHEMA_FILE

ROOT = Path(__file__).parents[2]
GOOD = """\
datasets:
  faces: {path: data/own/faces, kind: image, resolution: 16}
  talk: {path: data/own/talk, kind: audio, sample_rate: 8000, seconds: 1.0}
  poems: {path: data/own/poems, kind: text}
models:
  a: {family: vae, dataset: faces, steps: 10, optimiser: {lr: 2e-4}}
  b: {family: rnn, dataset: poems, steps: 10}
gates:
  a:
    thresholds: {elbo: {min: -10.0}}
    champion: {superior: [elbo]}
"""


def refusal(text):
    with pytest.raises(ConfigError) as caught:
        parse_params(text, Path("params.yaml"))
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_shipped_file_is_valid_and_gates_every_model():
    params = load_params(ROOT / "params.yaml")
    assert list(params.models) == ["image-vae", "image-gan", "text-rnn", "audio-rnn"]
    assert set(params.gates) == set(params.models)


def test_the_shipped_file_is_short_and_has_at_most_one_comment_a_key():
    lines = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 200
    assert max(map(len, lines)) <= 100
    above = None
    for line in lines[lines.index("", 1) :]:
        commented = "#" in line
        assert not (commented and above), f"{above!r} and {line!r}"
        above = line if line.lstrip().startswith("#") else None


def test_the_first_line_of_the_shipped_file_names_the_schema():
    first = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA_FILE}"
    assert (ROOT / SCHEMA_FILE).is_file()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("steps: 10, optimiser", "steps: 0, optimiser", "(found 0). Number of training steps; each uses one batch"),
        ("steps: 10, optimiser", "steps: 10, hidden: [0], optimiser", "models.a.hidden.0: Input should be greater than 0 (found 0). Widths of the encoder's layers"),
        ("{min: -10.0}", "{min: low}", "gates.a.thresholds.elbo.min: Input should be a valid number (found 'low'). Smallest value that passes"),
        ("steps: 10, optimiser", "optimiser", "models.a.steps: is missing. Number of training steps"),
    ],
)  # fmt: skip
def test_the_message_of_a_wrong_value_says_what_the_key_is(old, new, words):
    assert words in refusal(GOOD.replace(old, new, 1))


def test_numbers_are_those_of_yaml_1_2_as_dvc_reads_them():
    params = parse_params(GOOD, Path("params.yaml"))
    assert params.models["a"].optimiser.lr == 2e-4


def test_a_model_without_a_gate_is_allowed_here_and_refused_by_the_gate_stage():
    assert "b" not in parse_params(GOOD, Path("params.yaml")).gates


def test_blocks_cannot_change_after_they_were_read():
    params = parse_params(GOOD, Path("params.yaml"))
    with pytest.raises(ValidationError, match="frozen"):
        params.models["a"].steps = 5


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("steps: 10, optimiser", "stpes: 10, optimiser", "models.a.stpes: unknown key; did you mean 'steps'?"),
        ("{lr: 2e-4}", "{lrr: 2e-4}", "models.a.optimiser.lrr: unknown key; did you mean 'lr'?"),
        ("resolution: 16", "resolutoin: 16", "datasets.faces.resolutoin: unknown key; did you mean 'resolution'?"),
        ("resolution: 16", "size: 16", "datasets.faces: the key size is called resolution now, since DVC's run-cache ignores keys called size: rename it"),
        ("  a: {family", "  size: {family", "models.size: the name 'size' cannot be used: DVC's run-cache ignores keys called size or nfiles"),
        ("  faces:", "  nfiles:", "datasets.nfiles: the name 'nfiles' cannot be used"),
        ("gates:\n  a:", "gates:\n  size:", "gates.size: the name 'size' cannot be used"),
        ("{elbo: {min: -10.0}}", "{size: {min: -10.0}}", "gates.a.thresholds.size: the name 'size' cannot be used"),
        ("gates:", "gate:", "gate: unknown key; did you mean 'gates'?"),
        ("resolution: 16}", "resolution: 16, stack: {items: 9}}", "datasets.faces: stack derives its classes from the labels of single images; labels is none"),
        ("resolution: 16}", "resolution: 16, labels: folder, mode: rgb, stack: {items: 9}}", "datasets.faces: stack makes channels of grey images: set mode: grey"),
        ("resolution: 16}", "resolution: 16, labels: folder, stack: {itms: 9}}", "datasets.faces.stack.itms: unknown key; did you mean 'items'?"),
        ("resolution: 16}", "resolution: 16, labels: folder, stack: {items: 9, channels: 2}}", "datasets.faces.stack.channels: Input should be 3"),
        ("{min: -10.0}", "{minn: -10.0}", "gates.a.thresholds.elbo.minn: unknown key; did you mean 'min'?"),
        ("champion: {superior", "champoin: {superior", "gates.a.champoin: unknown key; did you mean 'champion'?"),
        ("steps: 10, optimiser", "steps: -10, optimiser", "models.a.steps: Input should be greater than 0 (found -10)"),
        ("steps: 10, optimiser", "steps: 0, optimiser", "models.a.steps"),
        ("steps: 10, optimiser", "steps: 'ten', optimiser", "models.a.steps: Input should be a valid integer (found 'ten')"),
        ("steps: 10, optimiser", "steps: '10', optimiser", "models.a.steps: Input should be a valid integer (found '10')"),
        ("steps: 10, optimiser", "steps: 1.5, optimiser", "models.a.steps"),
        ("lr: 2e-4", "lr: .nan", "models.a.optimiser.lr"),
        ("lr: 2e-4", "lr: .inf", "models.a.optimiser.lr"),
        ("lr: 2e-4", "lr: -1.0", "models.a.optimiser.lr"),
        ("family: vae", "family: vea", "models.a"),
        ("steps: 10, optimiser", "optimiser", "models.a.steps: is missing"),
        ("dataset: faces", "dataset: face", "models.a.dataset: there is no data set 'face'; did you mean 'faces'?"),
        ("dataset: faces", "dataset: poems", "poems is text, which a vae cannot take"),
        ("steps: 10, optimiser", "steps: 10, conditional: true, optimiser", "models.a.conditional: faces has no labels; say where they come from in datasets.faces.labels"),
        ("poems, steps: 10", "poems, steps: 10, conditional: true", "models.b.conditional: poems is text, one stream whose symbols have no labels"),
        ("gates:\n  a:", "gates:\n  c:", "gates.c: there is no model 'c'"),
        ("  faces:", "  Faces:", "lower-case letters, digits and hyphens"),
        ("  a: {family", "  a.journal: {family", "lower-case letters, digits and hyphens"),
        ("kind: image, resolution: 16", "kind: image, resolution: 16, split: randomly", "use hash, group:COLUMN, official, position or position:file"),
        ("kind: image, resolution: 16", "kind: image, resolution: 16, test: 0.95", "no items are left"),
        ("kind: image, resolution: 16", "kind: image, resolution: 16, test: 0.0", "datasets.faces.test"),
        ("kind: image, resolution: 16", "kind: image, resolution: 100000", "datasets.faces.resolution"),
        ("kind: image, resolution: 16", "kind: image, resolution: 16, labels: filename", "filename_pattern"),
        ("kind: image, resolution: 16", "kind: image, resolution: 16, filename_pattern: '('", "not a regular expression"),
        ("kind: image, resolution: 16", "kind: image, resolution: 16, confirmation: 0.85", "no items are left"),
        ("kind: image, resolution: 16", "kind: image, resolution: 16, confirmation: -0.1", "datasets.faces.confirmation"),
        ("kind: image, resolution: 16", "kind: image, resolution: 16, protocol: {resamples: 1}", "datasets.faces.protocol.resamples"),
        ("{superior: [elbo]}", "{metric: elbo}", "gates.a.champion.superior: is missing"),
        ("{superior: [elbo]}", "{superior: [elbo], metric: elbo}", "gates.a.champion.metric: unknown key"),
        ("{superior: [elbo]}", "{superior: []}", "gates.a.champion.superior"),
        ("{superior: [elbo]}", "{superior: elbo}", "gates.a.champion.superior"),
        ("{superior: [elbo]}", "{superior: [elbo], non_inferior: [elbo]}", "names elbo twice"),
        ("{superior: [elbo]}", "{superior: [elbo], confidence: 0.5}", "gates.a.champion.confidence"),
        ("{superior: [elbo]}", "{superior: [elbo], confidence: 1.0}", "gates.a.champion.confidence"),
        ("    champion:", "    memorisation: {}\n    champion:", "gates.a.memorisation: has no bound"),
        ("    champion:", "    memorisation: {max_copied: 1.1}\n    champion:", "gates.a.memorisation.max_copied"),
        ("    champion:", "    health: {min_coverage: 1.1}\n    champion:", "gates.a.health.min_coverage"),
        ("    champion:", "    health: {max_recoveries: -1}\n    champion:", "gates.a.health.max_recoveries"),
        ("{elbo: {min: -10.0}}", "{elbo: {min: 1.1}}", "gates.a.thresholds.elbo: can never pass: elbo is at most 0"),
        ("{elbo: {min: -10.0}}", "{confident: {min: 1.1}}", "gates.a.thresholds.confident: can never pass: confident lies between 0 and 1"),
        ("{elbo: {min: -10.0}}", "{confident: {min: 0.0}}", "gates.a.thresholds.confident: always passes, so it checks nothing: confident lies between 0 and 1"),
        ("{elbo: {min: -10.0}}", "{self_bleu: {max: 1.0}}", "gates.a.thresholds.self_bleu: always passes"),
        ("{elbo: {min: -10.0}}", "{perplexity: {max: 0.9}}", "can never pass: perplexity is at least 1"),
        ("{elbo: {min: -10.0}}", "{frechet_faces_cnn: {max: -1.0}}", "can never pass: frechet_faces_cnn is at least 0"),
        ("{elbo: {min: -10.0}}", "{frechet_talk_cnn: {max: 4.0}}", "the model is trained on faces, whose metric is called frechet_faces_cnn"),
        ("{elbo: {min: -10.0}}", "{elbow: {min: -10.0}}", "there is no metric 'elbow'; did you mean 'elbo'?"),
        ("{superior: [elbo]}", "{superior: [elbow]}", "gates.a.champion: there is no metric 'elbow'"),
        ("{elbo: {min: -10.0}}", "{elbo: {max: 1000.0}}", "gates.a.thresholds.elbo: max would refuse the better models: higher is better; give min"),
        ("{elbo: {min: -10.0}}", "{frechet_faces_cnn: {min: 1.0}}", "gates.a.thresholds.frechet_faces_cnn: min would refuse the better models: lower is better; give max"),
        ("    champion:", "    memorisation: {max_copied: 1.0}\n    champion:", "gates.a.memorisation.max_copied: always passes"),
        ("    champion:", "    health: {min_coverage: 0.0}\n    champion:", "gates.a.health.min_coverage: always passes"),
        ("{min: -10.0}", "{min: -10.0, max: 3.0}", "only one"),
        ("{min: -10.0}", "{}", "gates.a.thresholds.elbo: bounds nothing: give min or max, skill or baseline"),
        ("{min: -10.0}", "{margin: 1.0}", "gates.a.thresholds.elbo: bounds nothing"),
        ("{elbo: {min: -10.0}}", "{recall: {skill: 0.0}}", "gates.a.thresholds.recall.skill: Input should be greater than 0"),
        ("{elbo: {min: -10.0}}", "{recall: {skill: 1.1}}", "gates.a.thresholds.recall.skill: Input should be less than or equal to 1"),
        ("{min: -10.0}", "{skill: 0.5}", "gates.a.thresholds.elbo: a likelihood has no skill, because real data have no likelihood to compare it with; use baseline:"),
        ("{min: -10.0}", "{skill: 0.5, baseline: x}", "gates.a.thresholds.elbo: a likelihood has no skill"),
        ("{elbo: {min: -10.0}}", "{copied: {skill: 0.5}}", "gates.a.thresholds.copied: has no skill"),
        ("    thresholds: {elbo: {min: -10.0}}\n", "    thresholds: {}\n", "gates.a.thresholds"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(old, new, words):
    assert old in GOOD
    message = refusal(GOOD.replace(old, new, 1))
    assert message.startswith("params.yaml: ")
    assert words in message


def test_beside_a_baseline_a_bound_may_only_say_which_way_is_better():
    bound = "{coverage: {min: 0.0, baseline: mean_plus_noise, margin: 0.1}}"
    parse_params(GOOD.replace("{elbo: {min: -10.0}}", bound), Path("params.yaml"))


@pytest.mark.parametrize(
    "bound",
    [
        "{elbo: {baseline: pixel_bernoulli}}",
        "{bits_per_dim: {baseline: png, margin: 0.1}}",
        "{frechet_faces_cnn: {skill: 0.5}}",
        "{coverage: {skill: 1.0, min: 0.2, baseline: mean_plus_noise}}",
        "{coverage: {min: 0.0, skill: 0.5}}",
    ],
)
def test_a_bound_needs_no_number_of_its_own(bound):
    parse_params(GOOD.replace("{elbo: {min: -10.0}}", bound), Path("params.yaml"))


@pytest.mark.parametrize(
    "text", ["", "just words", "a: [1", "models:\n  a: 1\n  a: 2\n", "- a\n- b\n", "\ta: 1"]
)
def test_what_is_no_map_is_refused_in_one_sentence(text):
    assert "params.yaml" in refusal(text)


def test_a_missing_file_and_one_that_is_not_text(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_params(tmp_path / "params.yaml")


@given(st.text(max_size=200))
def test_no_text_makes_it_fall_over(text):
    try:
        parse_params(text, Path("params.yaml"))
    except ConfigError:
        return
    raise AssertionError("a random text is no params.yaml")


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["datasets", "models", "gates", "a", "family", "vae", "kind", "image"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_values)
def test_every_wrong_document_ends_in_a_clear_error(document):
    stream = io.StringIO()
    YAML().dump({"datasets": document, "models": document, "gates": document}, stream)
    try:
        params = parse_params(stream.getvalue(), Path("params.yaml"))
    except ConfigError as caught:
        error: ConfigError | None = caught
    else:
        error = None
        assert isinstance(params, Params)
    assert error is None or str(error).startswith("params.yaml")


def test_a_block_of_a_model_survives_its_way_through_json():
    block = parse_params(GOOD, Path("params.yaml")).models["a"]
    assert parse_model(block.model_dump(mode="json")) == block
    with pytest.raises(ConfigError, match="latnet"):
        parse_model({**block.model_dump(mode="json"), "latnet": 3})


def test_drift_is_optional_typed_and_names_data_sets():
    assert parse_params(GOOD, Path("params.yaml")).drift == {}
    params = parse_params(GOOD + "drift: {faces: {agree: 1}}\n", Path("params.yaml"))
    rule = params.drift["faces"]
    assert (rule.window, rule.agree, rule.of, rule.alpha) == (100, 1, 3, 0.01)
    for block, said in (
        ("face: {}", "drift.face: there is no data set 'face'; did you mean 'faces'?"),
        ("faces: {windows: 50}", "drift.faces.windows: unknown key; did you mean 'window'?"),
        ("faces: {agree: 4}", "drift.faces: agree (4) must be at most of (3)"),
        ("faces: {window: 5}", "drift.faces.window: Input should be greater than or equal to 20"),
        ("faces: {alpha: 0.0}", "drift.faces.alpha"),
    ):
        assert said in refusal(GOOD + f"drift: {{{block}}}\n")


def test_stacked_sets_are_not_watched_for_drift():
    stacked = GOOD.replace("resolution: 16}", "resolution: 16, labels: folder, stack: {items: 9}}")
    params = parse_params(stacked, Path("params.yaml"))
    assert params.datasets["faces"].stack.model_dump() == {"channels": 3, "items": 9, "seed": 0}
    said = refusal(stacked + "drift: {faces: {}}\n")
    assert "drift.faces: new items are single images, and those of faces are stacked" in said
