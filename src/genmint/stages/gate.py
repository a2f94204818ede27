"""Stage gate: decision on a measured model, as a record; a failed gate does not fail the stage."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence

from rich.box import SIMPLE
from rich.table import Column, Table

from genmint.common.console import table_console
from genmint.common.errors import GenmintError
from genmint.common.files import read_json, write_json, write_text
from genmint.common.markdown import escape_cell, markdown_table
from genmint.common.project import Project
from genmint.config import Params
from genmint.decision.evaluation import Evaluation
from genmint.decision.gate import decide_gate
from genmint.decision.gate_record import Check, Record
from genmint.decision.headline import headline, margins
from genmint.decision.skill import format_skill
from genmint.decision.trivial_baselines import better_codecs, no_better
from genmint.evaluation.recorded import read_evaluation


def run(project: Project, params: Params, name: str, *, as_json: bool = False) -> bool:
    """Decide on model `name`, write and print reports/gates/NAME.json; return whether it passed.

    metrics/NAME.yaml has the numbers that DVC shows, reports/gates/NAME.csv the margins that it
    plots.

    As JSON the record itself is printed. The gate fails, with a record, if a metric is missing or
    not finite or a file is missing or unreadable. It also fails if hashes do not belong together,
    or if the model has no gate.
    """
    evaluation = read_evaluation(project, name, params.models[name].dataset)
    record = judge(evaluation, params)
    write_json(project.gate_record(name), record.model_dump(mode="json"))
    numbers = headline(params.gates.get(name), record, evaluation.metrics.mapping())
    lines = [f"{key}: {json.dumps(value)}\n" for key, value in numbers.items()]
    write_text(project.headline(name), "".join(lines))
    write_text(project.gate_margins(name), _margins_table(record))
    if as_json:
        print(json.dumps(record.model_dump(mode="json"), indent=2))  # noqa: T201 - the report
    else:
        print_record(record)
        _print_no_better(evaluation)
    return record.passed == 1


def judge(evaluation: Evaluation, params: Params) -> Record:
    """Decide on a model from its evaluation, without writing anything."""
    return decide_gate(params.gates.get(evaluation.name), evaluation)


def read_record(project: Project, name: str) -> Record:
    """Read the record that the gate stage wrote.

    Raises:
        GenmintError: the file is missing or not a record.
    """
    path = project.gate_record(name)
    content = read_json(path, f"Run `dvc repro gate@{name}`.")
    try:
        return Record.model_validate_json(json.dumps(content))
    except ValueError:
        raise GenmintError(f"{path}: not a gate record. Run `dvc repro -f gate@{name}`.") from None


def print_record(record: Record) -> None:
    """Print a record as a table, and the result in one line."""
    with_skill = any(check.skill is not None for check in record.checks)
    table = Table(
        Column("check", overflow="fold"),
        Column("value", justify="right", no_wrap=True),
        Column("bound", justify="right", no_wrap=True),
        *([Column("skill", justify="right", no_wrap=True)] if with_skill else []),
        "verdict",
        Column("reason", overflow="fold"),
        title=record.model,
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for check in record.checks:
        colour = "green" if check.passed else "red"
        verdict = f"[{colour}]{'passed' if check.passed else 'failed'}[/{colour}]"
        table.add_row(
            check.name,
            _with_error(check),
            format_check_value(check.bound),
            *([_skill(check)] if with_skill else []),
            verdict,
            _escape(check.reason),
        )
    console = table_console()
    console.print(table)
    console.print(summary(record), highlight=False, markup=False, soft_wrap=True)


def _print_no_better(evaluation: Evaluation) -> None:
    """Print the metrics in which a baseline or codec is as good or better, checked or not."""
    baselines = evaluation.protocol.mapping().get("baselines")
    if not isinstance(baselines, dict):
        return
    marked = no_better(evaluation.metrics.mapping(), baselines)
    if marked:
        text = f"no better than a trivial baseline: {', '.join(map(str, marked))}"
        table_console().print(
            f"{evaluation.name}: {text}", style="red", markup=False, soft_wrap=True
        )
    for metric, codecs in better_codecs(evaluation.metrics.mapping(), baselines).items():
        text = ", ".join(f"{codec} ({value:.4g})" for codec, value in codecs.items())
        value = evaluation.metrics.mapping()[metric]
        table_console().print(
            f"{evaluation.name}: {metric} {value:.4g} is worse than {text}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )


def _margins_table(record: Record) -> str:
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("check", "margin"), *margins(record)])
    return table.getvalue()


def summary(record: Record) -> str:
    """Return the result in one line, with the reasons if the gate failed."""
    dry = " (dry-run: no alias will move)" if record.mode == "dry-run" else ""
    if record.passed:
        return f"{record.model}: passed all {record.checks_passed} checks{dry}"
    return f"{record.model}: refused{dry}: {reasons(record)}"


def reasons(record: Record) -> str:
    """Return which checks failed, and why."""
    return "; ".join(f"{check.name}: {_why(check)}" for check in record.failed())


def _why(check: Check) -> str:
    """Return the reason with the value: "10.09 > 4" or "elbo -28 is not above trigram (-27)"."""
    if isinstance(check.value, str) or check.value is None:
        return check.reason
    for words, sign in (("is not at most", ">"), ("is not at least", "<")):
        if check.reason.startswith(words) and isinstance(check.bound, float | int):
            return f"{_apart(check.value, check.bound)} {sign} {check.bound:g}"
    if check.reason.startswith(("is not above", "is not below")):
        return f"{check.name.split('.')[1]} {check.value:.4g} {check.reason}"
    if check.reason.startswith("is not "):
        return f"{check.value:.4g} {check.reason}"
    return check.reason


def _apart(value: float, bound: float) -> str:
    """Format a value with as many digits as tell it from its bound, at least four."""
    texts = (f"{value:.{digits}g}" for digits in (4, 6, 9, 17))
    return next((text for text in texts if text != f"{bound:g}"), repr(value))


def to_markdown(checks: Sequence[Check]) -> str:
    """Render checks as a Markdown table, for the description of a version."""
    columns = ["check", "value", "interval", "bound", "skill", "verdict", "reason"]
    with_skill = any(check.skill is not None for check in checks)
    if not with_skill:
        columns.remove("skill")
    return "\n".join(
        markdown_table(
            columns,
            [_row(check, with_skill=with_skill) for check in checks],
            numbers=("value", "interval", "bound", "skill"),
        )
    )


def format_check_value(value: float | str | None) -> str:
    """Format the value of a check: six digits of a number, twelve of a hash."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value[:12]
    return f"{value:.6g}" if math.isfinite(value) else str(value)


def format_interval(check: Check) -> str:
    """Format the confidence interval of a check's value."""
    if check.low is None or check.high is None:
        return "–"
    return f"{check.low:.4g} … {check.high:.4g}"


def _skill(check: Check) -> str:
    if check.skill is None:
        return "–"
    return format_skill(check.skill, check.skill_low, check.skill_high)


def _with_error(check: Check) -> str:
    """Format a value and half the width of its interval; both ends do not fit on a terminal."""
    if check.low is None or check.high is None:
        return format_check_value(check.value)
    return f"{format_check_value(check.value)} ± {(check.high - check.low) / 2:.2g}"


def _row(check: Check, *, with_skill: bool) -> tuple[str, ...]:
    return (
        f"`{check.name}`",
        format_check_value(check.value),
        format_interval(check),
        format_check_value(check.bound),
        *([_skill(check)] if with_skill else []),
        "passed" if check.passed else "**failed**",
        escape_cell(check.reason),
    )


def _escape(text: str) -> str:
    return text.replace("[", "\\[")
