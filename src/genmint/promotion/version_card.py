"""Parts of a version's page in MLflow: what its gate decided, samples, metrics and evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from genmint.common.markdown import escape_cell, markdown_table
from genmint.config.metric_catalogue import STDERR
from genmint.decision.gate_record import Check, Record
from genmint.decision.trivial_baselines import NoBetter
from genmint.stages import gate

# Failed checks that the first line names; the table has all of them.
_NAMED = 5
_EVIDENCE = "evidence."


@dataclass(frozen=True)
class Page:
    """What the page of a version shows beside the gate record and the comparison.

    Attributes:
        version: number of the version; None before it has one.
        samples: path of each file with samples, as an artefact of the run.
        artifacts: address of the run's artefacts in MLflow's UI; "" if it has no run.
        metrics: metrics of the model, with their standard errors.
        no_better: metrics in which a trivial baseline is at least as good.
        champion: number of the champion; None if there is none, or if it is this version.
        champion_metrics: metrics of the champion, as recorded with its run.
    """

    version: str | None = None
    samples: tuple[str, ...] = ()
    artifacts: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    no_better: Sequence[NoBetter] = ()
    champion: str | None = None
    champion_metrics: Mapping[str, float] = field(default_factory=dict)


def headline(record: Record) -> str:
    """Return the result of the gate; if it failed, with the failed checks and their values."""
    total = record.checks_passed + record.checks_failed
    failed = record.failed()
    dry = record.mode == "dry-run"
    if not failed:
        word = "in dry-run, decides nothing" if dry else "passed"
        return f"**Gate: {word}** ({record.checks_passed} of {total} checks, mode {record.mode})"
    named = [
        f"`{check.name}` {gate.format_check_value(check.value)} {escape_cell(check.reason)}"
        for check in failed[:_NAMED]
    ]
    if len(failed) > _NAMED:
        named.append(f"{len(failed) - _NAMED} more")
    word = "failed in dry-run, decides nothing" if dry else "refused"
    head = f"**Gate: {word}** ({len(failed)} of {total} checks failed, mode {record.mode})"
    return f"{head}: {'; '.join(named)}"


def baselines_line(page: Page) -> str:
    """Return the metrics in which a trivial baseline is at least as good; "" if there are none."""
    if not page.no_better:
        return ""
    named = [
        f"`{each.metric}` {gate.format_check_value(each.value)} ({escape_cell(each.reason)})"
        for each in page.no_better[:_NAMED]
    ]
    if len(page.no_better) > _NAMED:
        named.append(f"{len(page.no_better) - _NAMED} more")
    return f"**No better than a trivial baseline:** {'; '.join(named)}"


def identity_line(record: Record, weights: str, page: Page) -> str:
    """Return which model this is, with links to its samples."""
    number = "" if page.version is None else f" version {page.version},"
    links = [
        f"[{path.rpartition('/')[2]}]({page.artifacts}/{path})"
        for path in page.samples
        if page.artifacts
    ]
    shown = f" Samples: {', '.join(links)}." if links else ""
    return f"`{record.model}`{number} weights `{weights[:12]}`.{shown}"


def metrics_table(page: Page) -> str:
    """Render the metrics beside those of the champion; "" if there are none."""
    names = [name for name in page.metrics if not name.endswith(STDERR)]
    if not names:
        return ""
    columns = ["metric", "value", "±"]
    if page.champion is not None:
        columns.append(f"champion (version {page.champion})")
    marks = {each.metric: each.reason for each in page.no_better}
    # As in the report: those that are no better than a trivial baseline come first.
    names.sort(key=lambda name: name not in marks)
    rows = [_metric(name, page, marks.get(name, ""))[: len(columns)] for name in names]
    return "\n".join(("**Metrics**", "", *markdown_table(columns, rows, numbers=columns[1:])))


def _metric(name: str, page: Page, mark: str) -> tuple[str, ...]:
    error = page.metrics.get(f"{name}{STDERR}")
    return (
        f"`{name}` **▼ {escape_cell(mark)}**" if mark else f"`{name}`",
        gate.format_check_value(page.metrics[name]),
        "–" if error is None else f"{error:.2g}",
        gate.format_check_value(page.champion_metrics.get(name)),
    )


def checks_table(record: Record, *, only_failed: bool = False) -> str:
    """Render the checks other than those of the evidence, those that failed first.

    Args:
        record: the decision.
        only_failed: omit the checks that passed, and include those of the evidence that failed.
    """
    checks = [check for check in record.checks if not _about_evidence(check)]
    shown = list(record.failed()) if only_failed else sorted(checks, key=lambda each: each.passed)
    return f"**Checks**\n\n{gate.to_markdown(shown)}" if shown else ""


def evidence_table(record: Record) -> str:
    """Render the checks of the evidence, with the hashes of the files."""
    checks = [check for check in record.checks if _about_evidence(check)]
    return f"**Evidence**\n\n{gate.to_markdown(checks)}" if checks else ""


def _about_evidence(check: Check) -> bool:
    return check.name.startswith(_EVIDENCE)
