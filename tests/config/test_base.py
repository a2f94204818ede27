from pathlib import Path

import pytest
from pydantic import ValidationError

from genmint.common.errors import GenmintError
from genmint.config.base import Frozen, first_problem, from_json


class Inner(Frozen):
    count: int


class Outer(Frozen):
    inner: Inner


def test_the_first_problem_names_its_key_by_dots():
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"inner": {"count": "x"}, "more": 1})
    assert first_problem(caught.value) == ("inner.count", "Input should be a valid integer")


def test_a_file_that_does_not_fit_is_one_line():
    with pytest.raises(GenmintError) as caught:
        from_json(Outer, {"inner": {"count": "x"}}, Path("a.json"), "Remove it.")
    expected = "a.json: inner.count: Input should be a valid integer. Remove it."
    assert str(caught.value) == expected
