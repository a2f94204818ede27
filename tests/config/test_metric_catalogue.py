import subprocess
import sys

import pytest

from genmint.common.errors import ConfigError
from genmint.config.metric_catalogue import (
    METRICS,
    always_held,
    metric,
    never_held,
    range_of,
)


def test_likelihoods_and_code_lengths_point_in_opposite_directions():
    assert (metric("elbo").direction, metric("elbo").unit) == ("higher", "nats")
    assert metric("bits_per_dim").direction == "lower"


def test_a_standard_error_has_the_unit_of_its_metric():
    found = metric("importance_weighted_bound_stderr")
    assert (found.unit, found.direction) == ("nats", "lower")


def test_an_unknown_metric_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'lpips'; known: elbo"):
        metric("lpips")


def test_every_entry_has_one_line_and_a_name_of_its_own():
    assert len({entry.pattern for entry in METRICS}) == len(METRICS)
    assert all(entry.description and "\n" not in entry.description for entry in METRICS)


def test_the_catalogue_does_not_load_torch():
    code = "import sys, genmint.config.metric_catalogue; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_bounds_are_held_against_the_range_of_a_metric():
    assert never_held("confident", least=1.1) == "can never pass: confident lies between 0 and 1"
    assert never_held("confident", least=1.0) is None
    assert never_held("elbo", most=-1e9) is None
    assert always_held("elbo", most=0.0) is not None
    assert always_held("kernel_digits_cnn", most=1e9) is None
    assert range_of("copying_z") == "copying_z can have any value"


def test_every_metric_that_is_a_share_lies_between_0_and_1():
    assert {(e.low, e.high) for e in METRICS if e.unit == "share"} == {(0.0, 1.0)}
    assert all(entry.low < entry.high for entry in METRICS)
