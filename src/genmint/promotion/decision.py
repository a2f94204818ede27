"""The result of a promotion, as a pure function of registry state and comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from genmint.decision.comparison import ChampionComparison
from genmint.registry.journal_entries import RegistryState, rolled_back
from genmint.registry.versions import Version

PromotionVerdict = Literal[
    "promoted",
    "is champion",
    "not better",
    "not comparable",
    "rolled back",
    "refused",
    "dry-run",
    "not promoted",
]
# The alias that the version gets: "none" takes `challenger` away, "keep" changes no alias.
Alias = Literal["champion", "challenger", "none", "keep"]


@dataclass(frozen=True)
class Decision:
    """Result of a promotion, before anything is written.

    Attributes:
        verdict: short result.
        reason: explanation of the result.
        alias: the alias that the version gets.
    """

    verdict: PromotionVerdict
    reason: str
    alias: Alias


def decide_promotion(
    registry_state: RegistryState,
    champion: Version | None,
    version: Version,
    compared: Callable[[Version], ChampionComparison | str],
    *,
    dry: bool,
) -> Decision:
    """Decide whether a version that passed its gate becomes champion.

    Args:
        registry_state: registry state.
        champion: current champion, None if there is none.
        version: the challenger.
        compared: compares the challenger with the champion. It returns the result, or in words why
            the two cannot be compared. It is called only if the result matters.
        dry: the gate only reports: no alias changes.
    """
    decision = _decide(registry_state, champion, version, compared)
    if not dry:
        return decision
    verdict, reason = decision.verdict, decision.reason
    if verdict == "promoted":
        return Decision("dry-run", f"would become champion: {reason}", "keep")
    return Decision(verdict, reason, "keep")


def _decide(
    registry_state: RegistryState,
    champion: Version | None,
    version: Version,
    compared: Callable[[Version], ChampionComparison | str],
) -> Decision:
    if champion is not None and champion.weights == version.weights:
        return Decision("is champion", "no alias moves", "none")
    back = rolled_back(registry_state.written, version.weights, version.gate_inputs)
    if back is not None:
        reason = (
            f"journal entry {back.number} ({back.reason}), and the inputs of its gate have not "
            "changed since"
        )
        return Decision("rolled back", reason, "keep")
    if champion is None:
        entry = "" if registry_state.entry is None else f" ({registry_state.entry})"
        reason = f"passed its gate, and there was no champion{entry}"
        return Decision("promoted", reason, "champion")
    comparison = compared(champion)
    if isinstance(comparison, str):
        return Decision("not comparable", comparison, "challenger")
    reason = f"against champion version {champion.version}: {comparison.reason}"
    if comparison.better:
        return Decision("promoted", reason, "champion")
    return Decision("not better", reason, "challenger")
