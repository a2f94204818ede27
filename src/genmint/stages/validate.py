"""Stage validate: whether a data set is accepted, and which of its items are quarantined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genmint.common.errors import DataError
from genmint.common.escaping import printable
from genmint.common.files import atomic_dir, sha256_file, write_json
from genmint.common.project import Project
from genmint.config import Dataset, Params
from genmint.data import agreement, manifest, quarantine, validation
from genmint.data.ingestion.left_out import sentence
from genmint.data.quarantine import Quarantined
from genmint.data.splitting import assignment, duplicates
from genmint.data.splitting.duplicates import SIMILARITY, NearDuplicates

if TYPE_CHECKING:
    import pandas as pd

# Maximum number of near-duplicate groups in the report, and of items per group.
_GROUPS_SHOWN, _IDS_SHOWN = 5, 5
# Maximum length of a reason in characters, since its value may be a whole column of the manifest.
_REASON = 2000


def run(project: Project, params: Params, name: str) -> None:
    """Write data/quarantine/NAME.csv, reports/data/NAME.json and the Data Docs.

    All are written even if the validation fails, so that the cause can be inspected.

    Raises:
        ConfigError: the suite cannot be run.
        DataError: the data set fails an expectation, too many of its items are quarantined, or the
            manifest was made with other settings.
    """
    dataset = params.datasets[name]
    path = project.manifest(name)
    agreement.check_manifest(path, manifest.settings(path), name, dataset)
    suite = validation.read_suite(project.suite(dataset.kind))
    found = manifest.read(project.manifest(name))
    near = _near_duplicates(found, dataset)
    table = found.drop_columns(["sketch"]).to_pandas()
    table["duplicate_of"] = duplicates.copies(table)
    table["near_duplicate_of"] = duplicates.representatives(table, near.rows)
    # The report is written last and an earlier one removed, so that an interrupted run leaves none.
    project.validation(name).unlink(missing_ok=True)
    with atomic_dir(project.data_docs(name)) as docs:
        verdict = validation.validate(table, suite, docs, _sentence(table, near, dataset))
    reasons = verdict.reasons
    if dataset.split == "official":
        reasons = dict(sorted((reasons | _beside_official(table, near, reasons)).items()))
    alike = _alike(table, near, dataset, reasons)
    items, quarantined = len(table), len(reasons)
    left_out = manifest.left_out(project.manifest(name))
    share = quarantined / items if items else 1.0
    problems = [
        f"{finding.rule.name} ({_with(finding.rule.arguments)}) found {finding.observed}"
        for finding in verdict.findings
        if finding.level == "set" and not finding.passed
    ]
    if share > dataset.max_quarantined:
        first = next(iter(reasons))
        problems.insert(
            0,
            f"{quarantined} of {items} items failed validation, more than max_quarantined "
            f"({dataset.max_quarantined:g}) allows; the first is {table['id'][first]}: "
            f"{reasons[first]}",
        )
    if alike["share"] > dataset.max_near_duplicates:
        problems.append(
            f"{alike['items']} items are nearly the same as others that stay (a share of "
            f"{alike['share']:.3g}), more than max_near_duplicates allows "
            f"({dataset.max_near_duplicates:g}); the largest group begins with "
            f"{', '.join(alike['largest'][0])}. Leave copies out; or raise near_duplicates if "
            "these are different items; or raise max_near_duplicates"
        )
    quarantine.write(project.quarantine(name), _quarantined(table, reasons))
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
            "near_duplicates": alike,
            "left_out": [each.as_json() for each in left_out],
            "manifest": sha256_file(project.manifest(name)),
            "expectations": [finding.as_json() for finding in verdict.findings],
        },
    )
    others = sentence(left_out)
    if problems:
        problems += [others] if others else []
        raise DataError(
            f"{name} failed its validation: {'; '.join(problems)}. See "
            f"{project.quarantine(name)} and {project.data_docs(name) / 'index.html'}."
        )
    entering = f"{items - quarantined} of {items} items passed validation"
    print(f"{name}: {entering}{f'; {others}' if others else ''}")  # noqa: T201


def _near_duplicates(found: pa.Table, dataset: Dataset) -> NearDuplicates:
    """Return the group of each row of a manifest; an unreadable item is a group of its own."""
    readable = pc.is_null(found["error"]).to_numpy(zero_copy_only=False)
    inside = assignment.near_duplicates(found.filter(pc.is_null(found["error"])), dataset)
    rows = np.arange(len(found))
    rows[readable] = np.flatnonzero(readable)[inside.rows]
    return replace(inside, rows=rows)


def _beside_official(
    table: pd.DataFrame, near: NearDuplicates, reasons: dict[int, str]
) -> dict[int, str]:
    """Return by position why training items that nearly equal official test items are left out."""
    entering = np.setdiff1d(np.arange(len(table)), list(reasons))
    known = [table["split"].iloc[row] for row in entering]
    out = duplicates.against_official(known, near.rows[entering])
    return {
        int(row): f"nearly the same as {table['near_duplicate_of'].iloc[row]}, which is held out"
        for row in entering[out]
    }


def _alike(
    table: pd.DataFrame, near: NearDuplicates, dataset: Dataset, reasons: dict[int, str]
) -> dict[str, Any]:
    """Return the near-duplicates among the accepted items, as in reports/data/NAME.json."""
    entering = np.setdiff1d(np.arange(len(table)), list(reasons))
    groups, sizes = np.unique(near.rows[entering], return_counts=True)
    largest = sorted(zip(-sizes, groups, strict=True))[:_GROUPS_SHOWN]
    similarity = dataset.near_duplicates or SIMILARITY[dataset.kind]
    extra = int((sizes - 1).sum())
    return {
        "similarity": similarity,
        "compared": near.compared,
        "copies": int(table["duplicate_of"].notna().sum()),
        "items": extra,
        "share": extra / len(entering) if len(entering) else 0.0,
        "max_near_duplicates": dataset.max_near_duplicates,
        "groups": int((sizes > 1).sum()),
        "largest": [
            table["id"].iloc[entering[near.rows[entering] == group][:_IDS_SHOWN]].tolist()
            for size, group in largest
            if size < -1
        ],
    }


def _sentence(table: pd.DataFrame, near: NearDuplicates, dataset: Dataset) -> str:
    """Return the sentence on near-duplicates for the Data Docs."""
    out = table["duplicate_of"].notna() | table["error"].notna()
    alike = _alike(table, near, dataset, dict.fromkeys(np.flatnonzero(out), ""))
    if not near.compared:
        return "Near-duplicates were not looked for: only exact copies."
    shown = "; ".join(", ".join(group) for group in alike["largest"])
    return (
        f"Near-duplicates (similarity {alike['similarity']:g} or more, {near.compared} items "
        f"compared): {alike['items']} besides the first of each of {alike['groups']} groups"
        + (f", for instance {shown}." if shown else ".")
    )


def _quarantined(table: pd.DataFrame, reasons: dict[int, str]) -> Iterator[Quarantined]:
    for row, reason in reasons.items():
        shown = printable(reason[:_REASON])
        yield Quarantined(table["id"][row], table["path"][row], shown)


def _with(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in arguments.items() if key != "column")
