"""Result of a stored gate record, read as plain JSON.

A served model reads the record with the code that is stored with it, which may be older than the
genmint that wrote the record. So nothing is expected of a record beyond the keys that are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Reasons that are named; a gate may have dozens of checks.
_NAMED = 3


def has_failed(record: Mapping[str, Any]) -> bool:
    """Whether any part of a record says that a check failed, or the record has no checks."""
    checks = record.get("checks")
    counted = (record.get("passed"), record.get("checks_failed"))
    if counted != (1, 0) or not isinstance(checks, list) or not checks:
        return True
    return not all(isinstance(check, dict) and check.get("passed") is True for check in checks)


def is_dry_run(record: Mapping[str, Any]) -> bool:
    """Whether the gate was in dry-run, so that its result blocks nothing."""
    return record.get("mode") == "dry-run"


def not_admitted(record: Mapping[str, Any]) -> str | None:
    """Return why the gate admits no champion with this record, None if it passed.

    Registry, loaders and served models use the same words.
    """
    if has_failed(record):
        return "it failed its gate" + (", which was in dry-run" if is_dry_run(record) else "")
    return None if record.get("mode") == "enforce" else "its gate was in dry-run"


def failures(record: Mapping[str, Any]) -> str:
    """Return the first failed checks with values and reasons, "" if the record names none."""
    checks = record.get("checks")
    failed = [
        f"{check.get('name')}{_value(check)}: {check.get('reason')}"
        for check in (checks if isinstance(checks, list) else [])
        if isinstance(check, dict) and check.get("passed") is not True
    ]
    if len(failed) > _NAMED:
        failed[_NAMED:] = [f"and {len(failed) - _NAMED} more"]
    return "; ".join(failed)


def _value(check: Mapping[str, Any]) -> str:
    """Return the measured number of a check, "" if its reason names it or there is none."""
    value = check.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    shown = f"{value:.6g}"
    return "" if shown in str(check.get("reason")) else f" {shown}"
