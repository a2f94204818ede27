"""What the windows of new items say together: the decision, and why. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from genmint.config.base import Frozen
from genmint.config.drift import DriftRule
from genmint.drift.columns import Finding, Untested, holm

Verdict = Literal[
    "stopped", "no baseline", "nothing new", "collecting", "steady", "drift", "retraining"
]
P = Annotated[float, Field(ge=0.0, le=1.0)]


class Tested(Frozen):
    """A finding of a window with its p-value corrected for the number of tests of the window."""

    name: str
    method: str
    statistic: float
    p: P
    corrected: P
    drifted: bool
    before: str
    now: str


class Skipped(Frozen):
    """What was not tested, and why."""

    name: str
    reason: str


class Window(Frozen):
    """New items that were tested together.

    Attributes:
        number: counted from 1 since the baseline changed.
        closed: when it was tested, ISO 8601, UTC.
        items: sha256 of each.
        alpha: chance that it is called drifted though nothing changed.
        tests: in the order of the manifest's columns, the distance last.
        skipped: columns without test.
    """

    number: Annotated[int, Field(ge=1)]
    closed: str
    items: tuple[str, ...]
    alpha: P
    tests: tuple[Tested, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def drifted(self) -> bool:
        """Whether any test says so after correction."""
        return any(test.drifted for test in self.tests)

    @property
    def what(self) -> tuple[str, ...]:
        """Names of the tests that say so."""
        return tuple(test.name for test in self.tests if test.drifted)


class Asked(Frozen):
    """A retraining that was asked for.

    Attributes:
        run: id of the flow run.
        at: when, ISO 8601, UTC.
        revision: git commit that it was told to train.
    """

    run: str
    at: str
    revision: str


class Decision(Frozen):
    """What came of one look at a data set: the typed record.

    Attributes:
        dataset: name of the block.
        at: when, ISO 8601, UTC.
        verdict: in a word; only `drift` asks for a retraining, only `stopped` is a failure.
        reason: the verdict in words.
        revision: commit whose settings were used.
        baseline: commit whose data the new items were compared with; None if there is none.
        items: that may enter.
        new: items that the baseline does not hold.
        gone: items of the baseline that are there no more.
        waiting: new items that do not make a window yet.
        quarantined: `id: reason` of items that may not enter and that no model learned from; the
            first 20.
        models: of the data set: what a retraining would train.
        windows: the latest ones, as many as the rule looks at.
        rule: the settings that applied.
    """

    dataset: str
    at: str
    verdict: Verdict
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
    findings: Sequence[Finding],
    untested: Sequence[Untested],
    alpha: float,
) -> Window:
    """Make a window of its findings, corrected for their number by Holm's method."""
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


def decide(windows: Sequence[Window], rule: DriftRule, waiting: int) -> tuple[Verdict, str]:
    """Say whether the data drifted: N of the latest M windows agree, the latest among them.

    Args:
        windows: since the baseline changed, oldest first.
        rule: of the data set.
        waiting: new items that do not make a window yet.
    """
    rest = f"; {waiting} of {rule.window} items of the next window are there" if waiting else ""
    if not windows:
        if waiting:
            return "collecting", f"{waiting} new items of the {rule.window} that make a window"
        return "nothing new", "every item was there when the models were trained"
    latest = windows[-rule.of :]
    agreeing = [window for window in latest if window.drifted]
    share = f"{len(agreeing)} of the latest {len(latest)} windows drifted"
    if not latest[-1].drifted:
        return "steady", f"the latest window did not drift ({share}){rest}"
    if len(agreeing) < rule.agree:
        return "steady", f"{share}, and it takes {rule.agree} of {rule.of}{rest}"
    what = dict.fromkeys(name for window in agreeing for name in window.what)
    return "drift", f"{share}, the latest among them: {', '.join(what)}{rest}"
