"""What the report states about a model: the files in the project apart from the champion.

The functions are pure. A verdict about the files is never shown with the champion's number, and a
version that failed its gate is never shown as good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from genmint.config.metric_catalogue import metric
from genmint.decision.comparison import ChampionComparison, Comparison, Contrast
from genmint.promotion.challenge import latest_comparison
from genmint.registry.champion import Champion
from genmint.registry.journal_entries import rolled_back
from genmint.reporting.status import ModelStatus

# The style of a badge; only "champion" is golden.
Style = Literal["yes", "no", "warn", "champion", "plain"]


@dataclass(frozen=True)
class Badge:
    """A few words and their style."""

    text: str
    style: Style


def files_badges(status: ModelStatus, champion: Champion | None, registry_note: str) -> list[Badge]:
    """Return version, gate result, and comparison with the champion, of the files in the project.

    Args:
        status: state of the model.
        champion: the champion of the model; None if there is none or it is unknown.
        registry_note: why the registry state is unknown; "" if it is known.
    """
    if status.weights is None:
        return [Badge("not trained", "warn")]
    if registry_note:
        return [Badge("version unknown", "warn"), _gate_badge(status)]
    number = f"version {status.registered.version}" if status.registered else "not registered"
    style: Style = "plain" if status.registered else "warn"
    return [Badge(number, style), _gate_badge(status), _comparison_badge(status, champion)]


def champion_badge(
    status: ModelStatus, champion: Champion | None, registry_note: str
) -> tuple[Badge, str]:
    """Return the champion's number with its admission, and a sentence about it ("" for none)."""
    if registry_note:
        return Badge("unknown: the registry could not be read", "no"), registry_note
    state, note = status.registry_state, status.champion_note
    if champion is None:
        if status.moved_by_hand:
            return Badge("none: the alias was removed by hand", "no"), note
        if state is not None and state.problem is not None:
            return Badge(f"none: {state.problem}", "no"), note
        if state is not None and state.by_hand:
            return Badge("none; a move is incomplete", "warn"), note
        return Badge("none", "plain"), "" if state is None else state.why_none
    named = f"version {champion.number}"
    if champion.version is None:
        return Badge(f"{named} does not exist any more", "no"), note
    if champion.override:
        return Badge(f"{named} by override: {champion.problem}", "no"), note
    if champion.problem is not None:
        return Badge(f"{named} may not be champion: {champion.problem}", "no"), note
    if status.moved_by_hand:
        return Badge(f"{named}, moved by hand", "warn"), note
    if state is not None and state.by_hand:
        return Badge(f"{named}; a move is incomplete", "warn"), note
    if is_same(status, champion):
        if status.gate != "passed":
            return Badge(f"{named}, whose files no longer pass here", "warn"), (
                "It passed its gate when it was registered. See the gate of the files."
            )
        return Badge(f"{named} (these files)", "champion"), ""
    return Badge(named, "champion"), ""


def is_same(status: ModelStatus, champion: Champion | None) -> bool:
    """Return whether the files in the project are those of the champion."""
    return (
        champion is not None
        and champion.version is not None
        and champion.version.weights == status.weights
    )


def severity(badges: Sequence[Badge]) -> int:
    """Return 0 for a model with a failure, 1 with something to do, 2 for all others."""
    styles = {badge.style for badge in badges}
    return 0 if "no" in styles else 1 if "warn" in styles else 2


def comparison_with(status: ModelStatus, champion: Champion | None) -> ChampionComparison | None:
    """Return the stored comparison of the files' version with this champion; None without one."""
    comparison = latest_comparison(status.registered)
    if comparison is None or champion is None or comparison.champion != champion.number:
        return None
    return comparison


def contrast_text(one: Contrast) -> str:
    """Render a contrast as `elbo −0.13, needs +0.16`: challenger minus champion, in the unit."""
    if one.difference is None:
        return f"{one.metric}: {one.reason}"
    sign = metric(one.metric).sign
    text = f"{one.metric} {signed(sign * one.difference)}"
    if one.bound is None:
        return f"{text}, margin unknown"
    if one.low is not None and one.difference > one.bound and not one.passed:
        # The difference alone would suffice; its confidence limit does not.
        text += f" (confidence limit {signed(sign * one.low)})"
    if one.aim == "superior":
        return f"{text}, needs {signed(sign * one.bound)}"
    return f"{text}, allowed {signed(sign * one.bound)}"


def signed(value: float) -> str:
    """Format a difference with its sign and two significant digits."""
    return f"{value:+.2g}".replace("-", "−")


def _gate_badge(status: ModelStatus) -> Badge:
    dry = status.gate_mode == "dry-run"
    if status.gate == "passed":
        # A gate in dry-run decides nothing, so that its result is not green.
        text = f"passed its gate{' (dry-run)' if dry else ''}"
        return Badge(text, "plain" if dry else "yes")
    if status.gate == "failed":
        return Badge(f"failed its gate{' (dry-run)' if dry else ''}", "no")
    if status.gate == "outdated":
        return Badge("gate record outdated", "warn")
    return Badge("not gated", "warn")


def _comparison_badge(status: ModelStatus, champion: Champion | None) -> Badge:
    version, state = status.registered, status.registry_state
    if version is not None and state is not None:
        entry = rolled_back(state.written, version.weights, version.gate_inputs)
        if entry is not None:
            return Badge(f"rolled back by journal entry {entry.number}", "no")
    if champion is None:
        return Badge("no champion to compare with", "plain")
    if is_same(status, champion):
        return Badge("is the champion", "plain")
    comparison = comparison_with(status, champion)
    if comparison is None:
        return Badge(f"not compared with version {champion.number}", "plain")
    # The result is green only if the files pass the gate now and the champion may be one.
    enforced = status.gate == "passed" and status.gate_mode == "enforce"
    good = enforced and champion.problem is None
    word = "better" if comparison.better else "not better"
    text = f"{word} than version {champion.number} ({_contrasts(comparison)})"
    return Badge(text, "yes" if comparison.better and good else "plain")


def _contrasts(comparison: ChampionComparison) -> str:
    """Return the contrasts that decided."""
    decided: Comparison = comparison.test
    prefix = ""
    if comparison.test.better and comparison.confirmation is not None:
        decided, prefix = comparison.confirmation, "on the confirmation split: "
    shown = [one for one in decided.contrasts if one.passed == decided.better]
    return prefix + "; ".join(contrast_text(one) for one in shown)
