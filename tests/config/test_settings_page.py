"""The reference in docs/configuration.md is the one of the fields."""

from pathlib import Path

import pytest

from genmint.common.errors import GenmintError
from genmint.config.settings import all_settings
from genmint.config.settings_page import MARK, PAGE_FILE, reference, with_reference

PAGE = (Path(__file__).parents[2] / PAGE_FILE).read_text(encoding="utf-8")


def test_the_committed_page_is_the_generated_one():
    assert with_reference(PAGE) == PAGE, "run `make docs`"


def test_what_stands_before_the_mark_is_kept():
    assert with_reference(f"# Mine\n{MARK}\nold") == f"# Mine\n{MARK}\n\n{reference()}"


def test_a_page_without_the_mark_is_refused():
    with pytest.raises(GenmintError, match="is missing"):
        with_reference("# Mine\n")


def test_every_description_stands_there_once():
    flat = " ".join(reference().replace("\\<", "<").split())
    for one in all_settings():
        limits = f"{one.type}, {one.range}" if one.range else one.type
        default = "required" if one.default is None else f"default `{one.default}`"
        text = f"- **`{one.path[-1]}`** ({limits}; {default}): {one.description}"
        assert flat.count(text) == 1 or one.section, one.name
        assert flat.count(text) >= 1, one.name


def test_lines_are_at_most_120_characters_and_begin_no_list_by_chance():
    for line in PAGE.splitlines():
        assert len(line) <= 120 or line.startswith("|"), line
    for line in reference().splitlines():
        start = line.lstrip()
        assert not start.startswith(("* ", "+ ", "1. ")), line
        assert not start.startswith("- ") or start.startswith("- **`"), line
