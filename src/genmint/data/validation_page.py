"""HTML page of a validation: which expectations a data set met, and which items are quarantined.

It takes the place of Great Expectations' Data Docs. Those load style sheets and scripts from the
internet, and contain times and random identifiers, so that DVC would never find them unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genmint.common.escaping import printable
from genmint.common.html import breakable
from genmint.common.html import render as render_template
from genmint.data.quarantine import Quarantined
from genmint.data.validation import RuleResult

# Maximum number of quarantined items on the page, and of characters of a value.
_ITEMS_SHOWN, _CHARACTERS_SHOWN = 50, 300


def render(
    report: dict[str, Any],
    results: Sequence[RuleResult],
    problems: Sequence[str],
    quarantined: Sequence[Quarantined],
    notes: Sequence[str],
) -> str:
    """Return the page; the same arguments give the same text.

    Args:
        report: content of reports/data/NAME.json.
        results: results of all expectations.
        problems: why the data set is refused; empty if it is accepted.
        quarantined: the quarantined items.
        notes: further sentences for the top of the page.
    """
    # What failed comes first.
    ordered = sorted(results, key=lambda result: result.passed)
    return render_template(
        "genmint.data",
        "validation.html",
        {"shown": _shown, "breakable": breakable},
        report=report,
        sections={
            "The whole set": [result for result in ordered if result.level == "set"],
            "Single items": [result for result in ordered if result.level == "row"],
        },
        problems=problems,
        items=quarantined[:_ITEMS_SHOWN],
        more=max(0, len(quarantined) - _ITEMS_SHOWN),
        notes=notes,
    )


def _shown(value: Any) -> str:
    """Return a value from the data as short text without control characters."""
    text = printable(f"{value:.6g}" if isinstance(value, float) else str(value))
    return text if len(text) <= _CHARACTERS_SHOWN else f"{text[:_CHARACTERS_SHOWN]}…"
