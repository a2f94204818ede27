"""The text of entries is YAML with the values, and in the form that DVC leaves as it is."""

import pytest

from genmint.common.reading import parse_yaml
from genmint.config.yaml_form import as_dvc_writes
from genmint.proposal.entry_text import EntryKey, ParamsEntry, document

VALUES = [
    *("plain", "/data/own/a b", "data/own/x.y", "no", "Yes", "null", "1.5", "", " x", "a: b", "#x"),
    *("it's", 'q"uote', "(?P<label>[^_]+)_.+", r"a\.b", "ä ö", "{a}", "- a", "a #b", "a\\b"),
    *(1, 0.004, 1e-7, True, None, ["a", 1], {"a": 1, "b": ["x", 0.5]}),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_read_as_it_was_given(value):
    text = document(
        {"models": [ParamsEntry("m", (EntryKey("k", value, "why: it # is"),), "above")]}
    )
    assert parse_yaml(text, "text") == {"models": {"m": {"k": value}}}
    assert "  # above\n  m:\n" in text
    assert parse_yaml(as_dvc_writes(text), "text") == {"models": {"m": {"k": value}}}


@pytest.mark.parametrize("value", ["plain", "/data/own/a b", ["a", "b"], {"a": 1}, 3, True])
def test_usual_values_are_written_as_dvc_writes_them(value):
    text = document({"models": [ParamsEntry("m", (EntryKey("k", value, "why"), EntryKey("l", 1)))]})
    assert as_dvc_writes(text) == text


def test_a_comment_stays_on_its_line():
    text = document({"datasets": [ParamsEntry("d", (EntryKey("k", 1, "a\nb\x1b[31m"),))]})
    assert parse_yaml(text, "text") == {"datasets": {"d": {"k": 1}}}
    assert "\x1b" not in text
