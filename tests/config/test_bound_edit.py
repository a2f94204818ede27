"""One bound is changed as text; everything else keeps its bytes."""

import pytest

from genmint.common.errors import ConfigError
from genmint.common.reading import parse_yaml
from genmint.config.bound_edit import with_bound

TEXT = """\
# mine
gates:
  a:  # the first
    thresholds:
      # why
      elbo: {min: -24.5, baseline: pixel_bernoulli}  # nats
      recall:
        # a share
        min: 0.5  # half
        baseline: mean_plus_noise
      "quoted": {max: 4.0}
      bits_per_dim: {baseline: png}
      kernel_d_cnn:
        baseline: mean_plus_noise
    champion: {superior: [elbo]}
  b:
    thresholds: {elbo: {min: -1.0}}
  c:
    thresholds: {elbo: {min: -1.0}, recall: {min: 0.5}}
"""


def edit(metric, key, value, text=TEXT, comment="evidence", name="a"):
    return with_bound(text, name, metric, key, value, comment)


def changed(before, after):
    """Lines of `after` that `before` has not, and the other way round."""
    old, new = before.splitlines(), after.splitlines()
    return [x for x in old if x not in new], [x for x in new if x not in old]


@pytest.mark.parametrize(
    ("metric", "key", "old", "new"),
    [
        ("elbo", "min", ["      elbo: {min: -24.5, baseline: pixel_bernoulli}  # nats"],
         ["      elbo: {min: -0.5, baseline: pixel_bernoulli}  # nats"]),
        ("elbo", "skill", ["      elbo: {min: -24.5, baseline: pixel_bernoulli}  # nats"],
         ["      elbo: {skill: -0.5, min: -24.5, baseline: pixel_bernoulli}  # nats"]),
        ("recall", "min", ["        min: 0.5  # half"], ["        min: -0.5  # half"]),
        ("recall", "skill", [], ["        skill: -0.5"]),
        ("bits_per_dim", "max", ["      bits_per_dim: {baseline: png}"],
         ["      bits_per_dim: {max: -0.5, baseline: png}"]),
        ("kernel_d_cnn", "max", [], ["        max: -0.5"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_one_line_and_its_evidence(metric, key, old, new, ending):
    text = TEXT.replace("\n", ending)
    after = edit(metric, key, -0.5, text)
    gone, added = changed(text, after)
    assert gone == old
    assert added == ["      # calibrated: evidence", *new]
    assert after.count("\n") == after.count(ending)
    document = parse_yaml(after, "params.yaml")
    assert document["gates"]["a"]["thresholds"][metric][key] == -0.5


@pytest.mark.parametrize("bound", ["{baseline: png}", "{max: 4.0, baseline: png}"])
def test_thresholds_of_one_metric_may_be_on_a_single_line_as_genmint_new_writes_them(bound):
    text = f"gates:\n  a:\n    thresholds: {{bits_per_dim: {bound}}}  # less than PNG needs\n"
    once = edit("bits_per_dim", "max", 5.5, text, comment="earlier")
    assert edit("bits_per_dim", "max", 5.0, once) == (
        "gates:\n  a:\n    # calibrated: evidence\n"
        "    thresholds: {bits_per_dim: {max: 5.0, baseline: png}}  # less than PNG needs\n"
    )


def test_the_evidence_of_an_earlier_calibration_is_replaced_and_other_comments_stay():
    once = edit("elbo", "min", -20.0, comment="earlier")
    twice = edit("elbo", "min", -19.0, once, comment="second")
    assert "earlier" not in twice
    assert twice.count("# calibrated") == 1
    assert "      # why\n      # calibrated: second\n      elbo: {min: -19.0," in twice
    for comment in ("# mine", "# the first", "# nats", "# a share", "# half"):
        assert comment in twice


@pytest.mark.parametrize("value", [1e-7, 1e22, -3.0, 0.1])
def test_a_number_is_written_so_that_yaml_reads_it_as_one(value):
    after = edit("elbo", "min", value)
    assert parse_yaml(after, "params.yaml")["gates"]["a"]["thresholds"]["elbo"]["min"] == value


@pytest.mark.parametrize(
    ("text", "metric", "name"),
    [
        (TEXT, "elbo", "c"),
        (TEXT, "recall", "c"),
        (TEXT.replace("  b:\n    thresholds: {", "  b: {thresholds: {").replace(
            "{min: -1.0}}\n", "{min: -1.0}}}\n", 1), "elbo", "b"),
        (TEXT, "quoted", "a"),
        (TEXT.replace("elbo: {min: -24.5", "elbo: &shared {min: -24.5").replace(
            "thresholds: {elbo: {min: -1.0}}", "thresholds: {elbo: *shared}"), "elbo", "a"),
        (TEXT.replace("min: -24.5", "min: &low -24.5"), "elbo", "a"),
    ],
)  # fmt: skip
def test_what_cannot_be_changed_as_text_is_refused(text, metric, name):
    with pytest.raises(ConfigError, match=rf"gates\.{name}\.thresholds\.{metric} cannot be"):
        edit(metric, "min", -2.0, text, name=name)
