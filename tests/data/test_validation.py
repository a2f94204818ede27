"""Expectations on single rows: every row that fails is named, of whatever kind and however many."""

import numpy as np
import pandas as pd
import pytest
from great_expectations.expectations import registry
from great_expectations.expectations.expectation import (
    ColumnMapExpectation,
    ColumnPairMapExpectation,
    MulticolumnMapExpectation,
)
from ruamel.yaml import YAML

from genmint.common.errors import ConfigError
from genmint.data.validation import Rule, Suite, read_suite, validate

ROWS, BAD = 450, 210


def table():
    """450 rows, of which the last 210 are wrong in every column."""
    number = np.arange(ROWS)
    bad = number >= ROWS - BAD
    return pd.DataFrame(
        {
            "rising": np.where(bad, 5000 - number, number).astype(float),
            "falling": -np.where(bad, 5000 - number, number).astype(float),
            "unique": np.where(bad, 7000 + number // 2, number),
            "count": np.where(bad, 1, 0),
            "one": 1,
            "width": 8,
            "height": np.where(bad, 9, 8),
            "label": pd.Series(np.where(bad, None, "cat"), dtype=object),
            "error": pd.Series(np.where(bad, "damaged", None), dtype=object),
            "json": pd.Series(np.where(bad, "{", "{}"), dtype=object),
            "list": pd.Series(np.where(bad, "[]", "{}"), dtype=object),
            "date": pd.Series(np.where(bad, "no day", "2026-11-29"), dtype=object),
        }
    )


# By expectation: arguments by which the 210 wrong rows fail. Those that compare a row with the one
# before it, or with all, name others as well.
FAILING = {
    "expect_column_pair_values_a_to_be_greater_than_b":
        {"column_A": "width", "column_B": "height", "or_equal": True},
    "expect_column_pair_values_to_be_equal": {"column_A": "width", "column_B": "height"},
    "expect_column_pair_values_to_be_in_set":
        {"column_A": "width", "column_B": "height", "value_pairs_set": [[8, 8]]},
    "expect_column_value_lengths_to_be_between": {"column": "date", "min_value": 7},
    "expect_column_value_lengths_to_equal": {"column": "date", "value": 10},
    "expect_column_value_z_scores_to_be_less_than":
        {"column": "count", "threshold": 1.0, "double_sided": False},
    "expect_column_values_to_be_between": {"column": "count", "max_value": 0},
    "expect_column_values_to_be_dateutil_parseable": {"column": "date"},
    "expect_column_values_to_be_decreasing": {"column": "falling"},
    "expect_column_values_to_be_in_set": {"column": "date", "value_set": ["2026-11-29"]},
    "expect_column_values_to_be_increasing": {"column": "rising"},
    "expect_column_values_to_be_json_parseable": {"column": "json"},
    "expect_column_values_to_be_null": {"column": "error"},
    "expect_column_values_to_be_unique": {"column": "unique"},
    "expect_column_values_to_match_json_schema":
        {"column": "list", "json_schema": {"type": "object"}},
    "expect_column_values_to_match_regex": {"column": "date", "regex": "^[0-9-]+$"},
    "expect_column_values_to_match_regex_list": {"column": "date", "regex_list": ["^[0-9-]+$"]},
    "expect_column_values_to_match_strftime_format":
        {"column": "date", "strftime_format": "%Y-%m-%d"},
    "expect_column_values_to_not_be_in_set": {"column": "count", "value_set": [1]},
    "expect_column_values_to_not_be_null": {"column": "label"},
    "expect_column_values_to_not_match_regex": {"column": "date", "regex": "no"},
    "expect_column_values_to_not_match_regex_list": {"column": "date", "regex_list": ["no"]},
    "expect_compound_columns_to_be_unique": {"column_list": ["unique", "count"]},
    "expect_multicolumn_sum_to_equal": {"column_list": ["width", "height"], "sum_total": 16},
    "expect_multicolumn_values_to_be_equal": {"column_list": ["width", "height"]},
    "expect_select_column_values_to_be_unique_within_record":
        {"column_list": ["count", "one"]},
}  # fmt: skip
# The first of the wrong rows still rises or falls.
ALL_BUT_ONE = ("expect_column_values_to_be_increasing", "expect_column_values_to_be_decreasing")
# Not to be run on a table in memory (GX 1.24), or no measure of this table.
OTHERS = {
    "expect_column_values_to_match_like_pattern",
    "expect_column_values_to_match_like_pattern_list",
    "expect_column_values_to_not_match_like_pattern",
    "expect_column_values_to_not_match_like_pattern_list",
    "expect_column_values_to_not_be_outliers",
}
ON_TYPES = {
    "expect_column_values_to_be_of_type": {"column": "width", "type_": "str"},
    "expect_column_values_to_be_in_type_list": {"column": "error", "type_list": ["str"]},
}


def suite_of(path, entries, section="rows"):
    document = {"rows": [], "set": [], section: entries}
    with path.open("w") as stream:
        YAML(typ="safe", pure=True).dump(document, stream)
    return read_suite(path)


def entries_of(arguments):
    return [{"expectation": name, **rest} for name, rest in arguments.items()]


def test_every_row_that_fails_is_named_by_every_kind_of_expectation(tmp_path):
    suite = suite_of(tmp_path / "suite.yaml", entries_of(FAILING))
    verdict = validate(table(), suite)
    found = {each.rule.expectation: each.observed for each in verdict.results}
    assert found == {name: BAD - (name in ALL_BUT_ONE) for name in FAILING}
    assert list(verdict.reasons) == list(range(ROWS - BAD, ROWS))
    assert all(each.sentence for each in verdict.results)
    first = "width, height is 8, 9: expect_column_pair_values_a_to_be_greater_than_b"
    assert set(verdict.reasons.values()) == {first}


def test_reasons_have_the_value_of_their_row(tmp_path):
    entry = {"expectation": "expect_column_values_to_be_unique", "column": "unique",
             "reason": "twice {value}"}  # fmt: skip
    suite = suite_of(tmp_path / "suite.yaml", [entry])
    verdict = validate(table(), suite)
    assert verdict.reasons == {row: f"twice {7000 + row // 2}" for row in range(ROWS - BAD, ROWS)}


def test_the_kinds_that_are_tried_are_all_that_judge_rows():
    judging = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
    known = registry.list_registered_expectation_implementations
    kinds = {name for base in judging for name in known(base)}
    assert kinds == FAILING.keys() | OTHERS | ON_TYPES.keys()


def test_what_judges_no_single_rows_is_refused_when_the_suite_is_read(tmp_path):
    judging = FAILING.keys() | OTHERS
    known = registry.list_registered_expectation_implementations()
    others = [name for name in known if name not in judging]
    assert set(ON_TYPES) < set(others)
    for name in [*others, "expectation", "core", ""]:
        with pytest.raises(ConfigError, match=rf"rows\[0\]: .*{name}"):
            suite_of(tmp_path / "suite.yaml", [{"expectation": name, "column": "width"}])


@pytest.mark.parametrize("name", ON_TYPES)
def test_a_rule_that_names_no_rows_is_an_error_and_never_a_pass(tmp_path, name):
    """Should a later version give another kind of expectation no rows."""
    rule = Rule("suite.yaml: rows[0]", name, ON_TYPES[name] | {"column": "width"}, "")
    with pytest.raises(ConfigError, match=rf"rows\[0\]: {name}: width: .*does not name every row"):
        validate(table(), Suite(set=(), row=(rule,)))
