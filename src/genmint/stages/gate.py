"""Stage gate: decision on a measured model, as a record; a failed gate does not fail the stage."""

from __future__ import annotations

import json
import math
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table

from genmint.common.errors import GenmintError
from genmint.common.files import read_json, sha256_bytes, sha256_file, write_json
from genmint.common.project import Project
from genmint.common.reading import parse_json
from genmint.config import Params
from genmint.decision.gate import Source, Sources, decide
from genmint.decision.gate_record import Check, Record


def run(project: Project, params: Params, name: str) -> bool:
    """Decide on model `name`, write and print reports/gates/NAME.json; return whether it passed.

    The gate fails, with a record, if a metric is missing or not finite or a file is missing or
    unreadable. It also fails if hashes do not belong together, or if the model has no gate.
    """
    record = judge(project, params, name)
    write_json(project.gate_record(name), record.model_dump(mode="json"))
    show(record)
    return record.passed == 1


def judge(project: Project, params: Params, name: str) -> Record:
    """Decide on model `name` from the files on disk, without writing anything."""
    dataset = params.models[name].dataset
    return decide(name, params.gates.get(name), read_sources(project, name, dataset), dataset)


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


def read_sources(project: Project, name: str, dataset: str) -> Sources:
    """Collect the inputs of a decision on model `name` from the files on disk."""
    metrics = project.metrics(name)
    return Sources(
        weights=_bytes(project, project.model(name) / "model.safetensors"),
        config=_bytes(project, project.model(name) / "config.json"),
        metrics=_json(project, metrics),
        protocol=_json(project, metrics.with_name(f"{name}.protocol.json")),
        items=_bytes(project, project.items(name), needed=False),
        resamples=_bytes(project, project.resamples(name)),
        cost=_json(project, project.cost(name)),
        validation=_json(project, project.validation(dataset)),
    )


def show(record: Record) -> None:
    """Print a record as a table, and the result in one line."""
    table = Table(
        Column("check", overflow="fold"),
        Column("value", justify="right", no_wrap=True),
        Column("bound", justify="right", no_wrap=True),
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
            figure(check.bound),
            verdict,
            _escape(check.reason),
        )
    console = Console()
    console.print(table)
    console.print(summary(record), highlight=False, markup=False, soft_wrap=True)


def summary(record: Record) -> str:
    """Return the result in one line, with the reasons if the gate failed."""
    dry = " (dry-run: no alias will move)" if record.mode == "dry-run" else ""
    if record.passed:
        return f"{record.model}: passed all {record.checks_passed} checks{dry}"
    return f"{record.model}: refused{dry}: {reasons(record)}"


def reasons(record: Record) -> str:
    """Return which checks failed, and why."""
    return "; ".join(f"{check.name}: {check.reason}" for check in record.failed())


def to_markdown(record: Record, *, only_failed: bool = False) -> str:
    """Render a record as Markdown, for the description of a version.

    Args:
        record: the decision.
        only_failed: omit the checks that passed, if space is limited.
    """
    verdict = "passed" if record.passed else "refused"
    shown = record.failed() if only_failed else record.checks
    lines = [
        f"**Gate: {verdict}** ({record.checks_passed} of "
        f"{record.checks_passed + record.checks_failed} checks, mode {record.mode})",
        "",
        "| check | value | interval | bound | verdict | reason |",
        "|---|---:|---:|---:|---|---|",
    ]
    lines += [_row(check) for check in shown]
    return "\n".join(lines) + "\n"


def figure(value: float | str | None) -> str:
    """Format the value of a check: six digits of a number, twelve of a hash."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value[:12]
    return f"{value:.6g}" if math.isfinite(value) else str(value)


def interval(check: Check) -> str:
    """Format the confidence interval of a check's value."""
    if check.low is None or check.high is None:
        return "–"
    return f"{check.low:.4g} … {check.high:.4g}"


def _with_error(check: Check) -> str:
    """Format a value and half the width of its interval; both ends do not fit on a terminal."""
    if check.low is None or check.high is None:
        return figure(check.value)
    return f"{figure(check.value)} ± {(check.high - check.low) / 2:.2g}"


def _row(check: Check) -> str:
    cells = (
        f"`{check.name}`",
        figure(check.value),
        interval(check),
        figure(check.bound),
        "passed" if check.passed else "**failed**",
        check.reason.replace("|", "\\|").replace("\n", " "),
    )
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    return text.replace("[", "\\[")


def _bytes(project: Project, path: Path, *, needed: bool = True) -> Source:
    file = path.relative_to(project.root).as_posix()
    try:
        return Source(file, sha256=sha256_file(path))
    except FileNotFoundError:
        if not needed:
            return Source(file)
        return Source(file, problem=f"{file} is missing")
    except OSError as error:
        return Source(file, problem=f"{file} cannot be read: {error.strerror}")


def _json(project: Project, path: Path) -> Source:
    file = path.relative_to(project.root).as_posix()
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Source(file, problem=f"{file} is missing")
    except OSError as error:
        return Source(file, problem=f"{file} cannot be read: {error.strerror}")
    digest = sha256_bytes(data)
    try:
        content = parse_json(data, file)
    except GenmintError:
        return Source(file, sha256=digest, problem=f"{file} is not valid JSON")
    if not isinstance(content, dict):
        return Source(file, sha256=digest, problem=f"{file} is not a map of names to values")
    return Source(file, sha256=digest, content=content)
