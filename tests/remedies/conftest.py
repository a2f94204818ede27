"""Every remedy's test runs twice: as written, and with its switch forced off, when it must fail."""

from collections.abc import Mapping

import pytest

from genmint.config import parse_model


def pytest_generate_tests(metafunc):
    marker = metafunc.definition.get_closest_marker("switch")
    if marker is None:
        return
    assert "without" in metafunc.fixturenames, f"{metafunc.function.__name__} must use `block`"
    (switch,) = marker.args
    off = pytest.mark.xfail(strict=True, raises=AssertionError, reason=f"{switch} is forced off")
    metafunc.parametrize(
        "without", [None, pytest.param(switch, marks=off)], ids=["on", "forced-off"], indirect=True
    )


@pytest.fixture(autouse=True)
def _all_on_one_thread(one_thread):
    pass


@pytest.fixture
def without(request):
    """The switch that is forced off, as `family.key`; None where the test runs as written."""
    return getattr(request, "param", None)


@pytest.fixture
def block(without):
    """Make a block of `models`; the switch that is forced off is left out, at its default."""

    def make(family, **said):
        keys = {"family": family, "dataset": "digits", "steps": 10, **said}
        if without is not None:
            where, _, key = without.partition(".")
            if where == family:
                keys = _left_out(keys, key)
        return parse_model(keys)

    return make


def _left_out(keys, path):
    first, _, rest = path.partition(".")
    if not rest:
        return {key: value for key, value in keys.items() if key != first}
    inner = keys.get(first)
    if not isinstance(inner, Mapping):
        return keys
    return {**keys, first: _left_out(inner, rest)}
