"""Display of drift decisions: Markdown for Prefect's page, lines for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from genmint.common.markdown import escape_markdown, markdown_table
from genmint.drift.decision import DriftCheck, RequestedRetraining, Window


def drift_page(
    decisions: Sequence[DriftCheck],
    failures: Mapping[str, str],
    requested: RequestedRetraining | None,
) -> str:
    """Return the page of a drift flow: decisions with reasons, then their windows.

    Args:
        decisions: one per data set.
        failures: error message of each data set whose check or validation failed.
        requested: the requested retraining, if any.
    """
    rows = []
    for each in decisions:
        counts = (
            "" if value is None else str(value) for value in (each.items, each.new, each.gone)
        )
        rows.append((each.dataset, each.verdict, escape_markdown(each.reason), *counts))
    numbers = ("items", "new", "gone")
    lines = [*markdown_table(("data set", "verdict", "why", *numbers), rows, numbers=numbers), ""]
    known = {each.dataset for each in decisions}
    lines += [f"- {name}: **failed**: {escape_markdown(why)}" for name, why in failures.items()
              if name not in known]  # fmt: skip
    if requested is not None:
        lines += ["", f"Requested a retraining: flow run `{requested.run}`", ""]
    for each in decisions:
        lines += _details(each)
    return "\n".join(lines)


def lines_of(decision: DriftCheck) -> list[str]:
    """Return the latest decision and its windows as lines for a terminal."""
    lines = [f"{decision.at}  {decision}"]
    for window in decision.windows:
        what = f"drifted: {', '.join(window.what)}" if window.drifted else "did not drift"
        lines.append(
            f"  window {window.number} ({len(window.items)} items, {window.closed}) {what}"
        )
        for test in window.tests:
            mark = "!" if test.drifted else " "
            lines.append(
                f"  {mark} {test.name:24} {test.before} → {test.now}  "
                f"({test.method}, p {test.corrected:.2g} corrected)"
            )
        lines += [f"    {each.name:24} not tested: {each.reason}" for each in window.skipped]
    return [*lines, *(f"  quarantined: {each}" for each in decision.quarantined)]


def _details(decision: DriftCheck) -> list[str]:
    lines = []
    for window in decision.windows:
        lines += [f"### {decision.dataset}, window {window.number} {_result_of(window)}", ""]
        lines += _table(window)
    if decision.quarantined:
        lines += [f"### {decision.dataset}: items that failed validation", ""]
        lines += [f"- {escape_markdown(reason)}" for reason in decision.quarantined]
    return [*lines, ""] if lines else []


def _table(window: Window) -> list[str]:
    rows = []
    for test in window.tests:
        name = escape_markdown(test.name)
        cells = (test.before, test.now, test.method, f"{test.statistic:.3g}",
                 f"{test.p:.2g}", f"{test.corrected:.2g}")  # fmt: skip
        rows.append((f"**{name}**" if test.drifted else name, *map(escape_markdown, cells)))
    rows += [(each.name, "", "", f"not tested: {escape_markdown(each.reason)}", "", "", "")
             for each in window.skipped]  # fmt: skip
    numbers = ("statistic", "p", "corrected")
    return [
        f"{len(window.items)} items, tested {window.closed}; drifted at p ≤ {window.alpha:g}",
        "",
        *markdown_table(("what", "learned", "now", "test", *numbers), rows, numbers=numbers),
        "",
    ]


def _result_of(window: Window) -> str:
    return f"drifted: {', '.join(window.what)}" if window.drifted else "did not drift"
