"""What a gate decided and on what: the content of reports/gates/NAME.json."""

from __future__ import annotations

from typing import Literal

from genmint.config.base import Frozen

# A check of one of these kinds asks whether the numbers may be believed at all; the others judge
# the model. Numbers that may not be believed are no verdict on a model: nothing is registered.
_TRUST = ("configured", "data.", "evidence.")


class Check(Frozen):
    """One question and its answer.

    Attributes:
        name: what was asked, after the key of params.yaml that asks it: `thresholds.elbo.min`.
        value: what was found; None where nothing (or no finite number) was.
        low: where the value's interval begins, None where its error is not known. The interval is
            two-sided, by the metric's standard error and the normal distribution, at the confidence
            of the gate's champion rule; it says how sure the value is and decides nothing.
        high: where it ends.
        bound: what it was held against.
        passed: the verdict.
        reason: the verdict in words.
    """

    name: str
    value: float | str | None
    low: float | None = None
    high: float | None = None
    bound: float | str | None
    passed: bool
    reason: str


class Evidence(Frozen):
    """Hash of a file that the decision rests on; None if there was no such file."""

    file: str
    sha256: str | None


class Record(Frozen):
    """A decision with all that led to it; what reports/gates/NAME.json holds.

    DVC shows numbers and text but drops lists and booleans: `verdicts` is for `dvc metrics`, what
    each check found with 1 or 0 for its answer, by its name.
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
        """Return the hash of each file that the decision rests on, by its path."""
        return {item.file: item.sha256 for item in self.evidence}

    def failed(self) -> tuple[Check, ...]:
        """Return the checks that said no."""
        return tuple(check for check in self.checks if not check.passed)

    def distrusted(self) -> tuple[Check, ...]:
        """Return the failed checks which say that the numbers may not be believed at all."""
        return tuple(check for check in self.failed() if check.name.startswith(_TRUST))
