"""Gate record: the decision and its inputs, as stored in reports/gates/NAME.json."""

from __future__ import annotations

from typing import Literal

from genmint.config.base import Frozen

# Checks with these prefixes test whether the metrics can be trusted; the others judge the model. A
# failed trust check says nothing about the model, so nothing is registered.
_TRUST = ("configured", "data.", "evidence.")


class Check(Frozen):
    """One check of the gate and its result.

    Attributes:
        name: name of the check, from its key in params.yaml, for example `thresholds.elbo.min`.
        value: measured value; None if there is no value or it is not finite.
        low: lower limit of the value's interval; None if its standard error is unknown. The
            interval is two-sided and assumes a normal distribution. Its level is the confidence of
            the gate's champion rule. It is informative only and does not affect the result.
        high: upper limit of the interval.
        skill: skill of the metric, 0 for the best trivial baseline and 1 for real data; None if it
            is undefined, and for checks of no metric.
        skill_low: lower limit of the skill's interval, like `low`.
        skill_high: upper limit of the skill's interval.
        bound: bound that the value was compared with.
        passed: result of the check.
        reason: explanation of the result.
    """

    name: str
    value: float | str | None
    low: float | None = None
    high: float | None = None
    skill: float | None = None
    skill_low: float | None = None
    skill_high: float | None = None
    bound: float | str | None
    passed: bool
    reason: str


class Evidence(Frozen):
    """Hash of an input file of the decision; None if the file did not exist."""

    file: str
    sha256: str | None


class Record(Frozen):
    """Gate decision with its checks and input hashes; content of reports/gates/NAME.json.

    `verdicts` repeats the checks by name, with 1 for passed and 0 for failed: records were once
    metrics of DVC, which drops lists and booleans.
    """

    model: str
    passed: Literal[0, 1]
    checks_passed: int
    checks_failed: int
    verdicts: dict[str, dict[str, float | int | str]]
    mode: Literal["enforce", "dry-run"]
    checks: tuple[Check, ...]
    evidence: tuple[Evidence, ...]

    def hashes(self) -> dict[str, str | None]:
        """Return the hash of each input file of the decision, by path."""
        return {item.file: item.sha256 for item in self.evidence}

    def failed(self) -> tuple[Check, ...]:
        """Return the checks that failed."""
        return tuple(check for check in self.checks if not check.passed)

    def distrusted(self) -> tuple[Check, ...]:
        """Return the failed checks that make the metrics untrustworthy."""
        return tuple(check for check in self.failed() if check.name.startswith(_TRUST))
