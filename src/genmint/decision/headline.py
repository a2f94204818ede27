"""Headline numbers of a model: those on which its gate and its promotion rest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from genmint.config.gates import Gate
from genmint.decision.evaluation import is_number
from genmint.decision.gate_record import Record

# More columns per model make DVC's tables unreadable.
MOST = 12


def headline(gate: Gate | None, record: Record, metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the few numbers of a model that DVC shows and compares, by name; at most 12.

    `failed` is the number of failed checks, 0 if the gate passed. Then follow the metrics with
    thresholds and those of the champion rule, in the order of the gate. A metric that is missing or
    not finite is left out; its check has failed.

    Args:
        gate: entry of the model in `gates`; None if it has none.
        record: decision of the gate.
        metrics: metrics of the model by name.
    """
    numbers: dict[str, float] = {"failed": record.checks_failed}
    if gate is None:
        return numbers
    names = [*gate.thresholds, *gate.champion.superior, *gate.champion.non_inferior]
    for name in dict.fromkeys(names):
        value = metrics.get(name)
        if is_number(value) and math.isfinite(value) and len(numbers) < MOST:
            numbers[name] = value
    return numbers


def margins(record: Record) -> list[tuple[str, float]]:
    """Return how far each bounded value of the gate lies from its bound, by name of the check.

    A margin is in per cent of the larger of value and bound, negative if the check failed; so the
    margins of different metrics are comparable. Checks of files and of the data have none.
    """
    distances = []
    for check in record.checks:
        if not isinstance(check.value, float | int) or not isinstance(check.bound, float | int):
            continue
        if check.name.startswith("data."):
            continue
        size = max(abs(check.value), abs(check.bound))
        distance = 100 * abs(check.value - check.bound) / size if size else 0.0
        distances.append((check.name, distance if check.passed else -distance))
    return distances
