"""Display of drift decisions: Markdown for Prefect's page, lines for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from genmint.common.escaping import markdown
from genmint.drift.decision import Asked, Decision, Window


def page(decisions: Sequence[Decision], failures: Mapping[str, str], asked: Asked | None) -> str:
    """Return the page of a drift flow: decisions with reasons, then their windows.

    Args:
        decisions: one per data set.
        failures: error message of each data set whose check or validation failed.
        asked: the requested retraining, if any.
    """
    lines = ["| data set | verdict | why | items | new | gone |", "|---|---|---|---:|---:|---:|"]
    for each in decisions:
        counts = (
            "" if value is None else str(value) for value in (each.items, each.new, each.gone)
        )
        lines.append(
            f"| {each.dataset} | {each.verdict} | {markdown(each.reason)} | {' | '.join(counts)} |"
        )
    lines.append("")
    known = {each.dataset for each in decisions}
    lines += [f"- {name}: **failed**: {markdown(why)}" for name, why in failures.items()
              if name not in known]  # fmt: skip
    if asked is not None:
        lines += ["", f"Requested a retraining: flow run `{asked.run}`", ""]
    for each in decisions:
        lines += _details(each)
    return "\n".join(lines)


def lines_of(decision: Decision) -> list[str]:
    """Return the latest decision and its windows as lines for a terminal."""
    found = [f"{decision.at}  {decision}"]
    for window in decision.windows:
        what = f"drifted: {', '.join(window.what)}" if window.drifted else "did not drift"
        found.append(
            f"  window {window.number} ({len(window.items)} items, {window.closed}) {what}"
        )
        for test in window.tests:
            mark = "!" if test.drifted else " "
            found.append(
                f"  {mark} {test.name:24} {test.before} → {test.now}  "
                f"({test.method}, p {test.corrected:.2g} corrected)"
            )
        found += [f"    {each.name:24} not tested: {each.reason}" for each in window.skipped]
    return [*found, *(f"  quarantined: {each}" for each in decision.quarantined)]


def _details(decision: Decision) -> list[str]:
    lines = []
    for window in decision.windows:
        lines += [f"### {decision.dataset}, window {window.number} {_said(window)}", ""]
        lines += _table(window)
    if decision.quarantined:
        lines += [f"### {decision.dataset}: items that failed validation", ""]
        lines += [f"- {markdown(reason)}" for reason in decision.quarantined]
    return [*lines, ""] if lines else []


def _table(window: Window) -> list[str]:
    lines = [
        f"{len(window.items)} items, tested {window.closed}; drifted at p ≤ {window.alpha:g}",
        "",
        "| what | learned | now | test | statistic | p | corrected |",
        "|---|---|---|---|---:|---:|---:|",
    ]
    for test in window.tests:
        name = markdown(test.name)
        cells = (test.before, test.now, test.method, f"{test.statistic:.3g}",
                 f"{test.p:.2g}", f"{test.corrected:.2g}")  # fmt: skip
        shown = (f"**{name}**" if test.drifted else name, *map(markdown, cells))
        lines.append(f"| {' | '.join(shown)} |")
    lines += [f"| {each.name} | | | not tested: {markdown(each.reason)} | | | |"
              for each in window.skipped]  # fmt: skip
    return [*lines, ""]


def _said(window: Window) -> str:
    return f"drifted: {', '.join(window.what)}" if window.drifted else "did not drift"
