import pytest

from genmint.common.errors import GenmintError
from genmint.registry.conflicts import retry_on_conflict


def failed(attempts):
    return GenmintError(f"lost {attempts} times")


def test_the_first_result_ends_the_attempts():
    results = iter([None, None, "won", "not asked for"])
    assert retry_on_conflict(lambda: next(results), failed, seconds=0) == "won"
    assert next(results) == "not asked for"


def test_after_the_last_attempt_it_fails():
    results = iter([None, None, "too late"])
    with pytest.raises(GenmintError, match="lost 2 times"):
        retry_on_conflict(lambda: next(results), failed, attempts=2, seconds=0)
