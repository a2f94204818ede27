"""Validate: whether a data set may enter, and which of its items may not."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from genmint.config import Params
from genmint.data import manifest, validation
from genmint.errors import DataError
from genmint.files import atomic_dir, atomic_path, sha256_file, write_json
from genmint.project import Project


def run(project: Project, params: Params, name: str) -> None:
    """Write data/quarantine/NAME.csv, reports/data/NAME.json and the Data Docs beside it.

    All are written whether the set passes or not, so that a person can look at why.

    Raises:
        ConfigError: the suite cannot be run.
        DataError: the set fails an expectation, or too many of its items are quarantined.
    """
    dataset = params.datasets[name]
    suite = validation.read_suite(project.suite(dataset.kind))
    table = manifest.read(project.manifest(name)).to_pandas()
    table["duplicate_of"] = validation.duplicates(table)
    # Written last: a run that fails in between must not leave the report of an earlier one.
    project.validation(name).unlink(missing_ok=True)
    with atomic_dir(project.data_docs(name)) as docs:
        verdict = validation.validate(table, suite, docs)
    items, quarantined = len(table), len(verdict.reasons)
    share = quarantined / items if items else 1.0
    problems = [
        f"{finding.rule.name} ({_with(finding.rule.arguments)}) found {finding.observed}"
        for finding in verdict.findings
        if finding.level == "set" and not finding.passed
    ]
    if share > dataset.max_quarantined:
        first = next(iter(verdict.reasons))
        problems.insert(
            0,
            f"{quarantined} of {items} items are bad, more than max_quarantined "
            f"({dataset.max_quarantined:g}) allows; the first is {table['id'][first]}: "
            f"{verdict.reasons[first]}",
        )
    _write_quarantine(project.quarantine(name), table, verdict.reasons)
    write_json(
        project.validation(name),
        {
            "dataset": name,
            "kind": dataset.kind,
            "passed": int(not problems),
            "items": items,
            "quarantined": quarantined,
            "quarantined_share": share,
            "max_quarantined": dataset.max_quarantined,
            "manifest": sha256_file(project.manifest(name)),
            "expectations": [finding.as_json() for finding in verdict.findings],
        },
    )
    if problems:
        raise DataError(
            f"{name} may not enter: {'; '.join(problems)}. See {project.quarantine(name)} and "
            f"{project.data_docs(name) / 'index.html'}."
        )
    print(f"{name}: {items - quarantined} of {items} items may enter")  # noqa: T201


def _write_quarantine(path: Path, table: Any, reasons: dict[int, str]) -> None:
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", "path", "reason"])
        for position, reason in reasons.items():
            writer.writerow([table["id"][position], table["path"][position], reason])


def _with(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in arguments.items() if key != "column")
