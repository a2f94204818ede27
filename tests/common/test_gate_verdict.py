"""What is read of a gate record that another genmint may have written."""

import pytest

from genmint.common.gate_verdict import failures, has_failed, is_dry_run

PASSED = {"name": "a", "passed": True, "reason": "is at least 1", "value": 2.0}
FAILED = {"name": "b", "passed": False, "reason": "is not at least 1", "value": 0.5}


def record(*checks, passed=1, failed=0, mode="enforce"):
    return {"passed": passed, "checks_failed": failed, "mode": mode, "checks": list(checks)}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (record(PASSED), False),
        (record(PASSED, FAILED, passed=0, failed=1), True),
        (record(PASSED, FAILED), True),
        (record(PASSED, passed=0), True),
        (record(PASSED, failed=1), True),
        (record(), True),
        (record("x"), True),
        ({}, True),
        ({**record(PASSED), "checks": {"a": True}}, True),
        ({**record(PASSED), "more": 1}, False),
    ],
)
def test_a_record_passed_only_if_every_part_of_it_says_so(content, expected):
    assert has_failed(content) is expected


def test_failed_checks_are_named_with_their_values():
    assert failures(record(PASSED, FAILED)) == "b 0.5: is not at least 1"
    assert failures(record({**FAILED, "reason": "0.5 < 1"})) == "b: 0.5 < 1"
    assert failures(record({**FAILED, "value": None})) == "b: is not at least 1"
    many = failures(record(*[{**FAILED, "name": f"c{i}"} for i in range(5)]))
    assert many.startswith("c0 0.5: is not at least 1; c1 ")
    assert many.endswith("c2 0.5: is not at least 1; and 2 more")
    assert failures({"checks": "x"}) == ""


def test_only_dry_run_is_dry_run():
    assert is_dry_run(record(mode="dry-run"))
    assert not is_dry_run(record())
    assert not is_dry_run({})
