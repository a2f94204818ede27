"""Drift decision from the windows of new items, as pure functions and records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from genmint.config.base import Frozen
from genmint.config.drift import DriftRule
from genmint.drift.columns import DriftTest, Untested, holm

DriftVerdict = Literal[
    "stopped", "no baseline", "nothing new", "collecting", "steady", "drift", "retraining"
]
P = Annotated[float, Field(ge=0.0, le=1.0)]


class Tested(Frozen):
    """Test result of a window, with the p-value corrected for the number of its tests."""

    name: str
    method: str
    statistic: float
    p: P
    corrected: P
    drifted: bool
    before: str
    now: str


class Skipped(Frozen):
    """A column that was not tested, and the reason."""

    name: str
    reason: str


class Window(Frozen):
    """New items that were tested together.

    Attributes:
        number: number of the window since the baseline changed, from 1.
        closed: time of the test, ISO 8601, UTC.
        items: sha256 of each item.
        alpha: probability that the window counts as drifted without drift.
        tests: test results in the order of the manifest's columns, the distance last.
        skipped: columns without a test.
    """

    number: Annotated[int, Field(ge=1)]
    closed: str
    items: tuple[str, ...]
    alpha: P
    tests: tuple[Tested, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def drifted(self) -> bool:
        """Whether any test is significant after correction."""
        return any(test.drifted for test in self.tests)

    @property
    def what(self) -> tuple[str, ...]:
        """Names of the significant tests."""
        return tuple(test.name for test in self.tests if test.drifted)


class RequestedRetraining(Frozen):
    """A requested retraining.

    Attributes:
        run: id of the flow run.
        at: time of the request, ISO 8601, UTC.
        revision: git commit to train.
    """

    run: str
    at: str
    revision: str


class DriftCheck(Frozen):
    """Typed record of one drift check.

    Attributes:
        dataset: name of the data set entry.
        at: time of the check, ISO 8601, UTC.
        verdict: short result; only `drift` triggers a retraining, only `stopped` is a failure.
        reason: explanation of the result.
        revision: commit whose settings were used.
        baseline: commit whose data were compared with; None if there is no baseline.
        items: number of valid items.
        new: number of items that the baseline does not have.
        gone: number of baseline items that no longer exist.
        waiting: number of new items that do not fill a window yet.
        quarantined: `id: reason` of the first 20 quarantined items that no model was trained on.
        models: models of the data set, which a retraining would train.
        windows: latest windows, as many as the rule considers.
        rule: the settings that applied.
    """

    dataset: str
    at: str
    verdict: DriftVerdict
    reason: str
    revision: str
    baseline: str | None = None
    items: int | None = None
    new: int | None = None
    gone: int | None = None
    waiting: int = 0
    quarantined: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    rule: DriftRule

    def __str__(self) -> str:
        return f"{self.dataset}: {self.verdict}: {self.reason}"


def close(
    number: int,
    closed: str,
    items: Sequence[str],
    findings: Sequence[DriftTest],
    untested: Sequence[Untested],
    alpha: float,
) -> Window:
    """Return the window for its findings, corrected for multiple tests by Holm's method."""
    corrected = holm([finding.p for finding in findings])
    tests = tuple(
        Tested(
            name=finding.name,
            method=finding.method,
            statistic=finding.statistic,
            p=finding.p,
            corrected=value,
            drifted=value <= alpha,
            before=finding.before,
            now=finding.now,
        )
        for finding, value in zip(findings, corrected, strict=True)
    )
    return Window(
        number=number,
        closed=closed,
        items=tuple(items),
        alpha=alpha,
        tests=tests,
        skipped=tuple(Skipped(name=each.name, reason=each.reason) for each in untested),
    )


def decide_drift(
    windows: Sequence[Window], rule: DriftRule, waiting: int
) -> tuple[DriftVerdict, str]:
    """Decide whether the data drifted: N of the latest M windows, including the latest one.

    Args:
        windows: windows since the baseline changed, oldest first.
        rule: drift rule of the data set.
        waiting: number of new items that do not fill a window yet.
    """
    rest = f"; {waiting} of {rule.window} items of the next window have arrived" if waiting else ""
    if not windows:
        if waiting:
            return (
                "collecting",
                f"{waiting} of the {rule.window} new items of a window have arrived",
            )
        return "nothing new", "all items were present when the models were trained"
    latest = windows[-rule.of :]
    agreeing = [window for window in latest if window.drifted]
    share = f"{len(agreeing)} of the latest {len(latest)} windows drifted"
    if not latest[-1].drifted:
        return "steady", f"the latest window did not drift ({share}){rest}"
    if len(agreeing) < rule.agree:
        return "steady", f"{share}; {rule.agree} of {rule.of} are needed{rest}"
    what = dict.fromkeys(name for window in agreeing for name in window.what)
    return "drift", f"{share}, the latest among them: {', '.join(what)}{rest}"
