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
from genmint.common.files import sha256_file, write_json, write_text
from genmint.common.project import Project
from genmint.config import Dataset, Params
from genmint.data import agreement, manifest, quarantine, validation, validation_page
from genmint.data.ingestion.left_out import sentence
from genmint.data.quarantine import Quarantined
from genmint.data.splitting import assignment, duplicates
from genmint.data.splitting.duplicates import SIMILARITY, NearDuplicates
from genmint.data.validation import RuleResult

if TYPE_CHECKING:
    import pandas as pd

# Maximum number of near-duplicate groups in the report, and of items per group.
_GROUPS_SHOWN, _IDS_SHOWN = 5, 5
# Maximum length of a reason in characters, since its value may be a whole column of the manifest.
_REASON = 2000


def run(project: Project, params: Params, name: str) -> None:
    """Write data/quarantine/NAME.csv, reports/data/NAME.json and the page reports/data/NAME.html.

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
    rows = manifest.read(path)
    near = _near_duplicates(rows, dataset)
    table = rows.drop_columns(["sketch"]).to_pandas()
    table["duplicate_of"] = duplicates.copies(table)
    table["near_duplicate_of"] = duplicates.representatives(table, near.rows)
    # The report is written last and an earlier one removed, so that an interrupted run leaves none.
    project.validation(name).unlink(missing_ok=True)
    suite_result = validation.validate(table, suite)
    reasons = suite_result.reasons
    if dataset.split == "official":
        reasons = dict(sorted((reasons | _beside_official(table, near, reasons)).items()))
    alike = _alike(table, near, dataset, reasons)
    problems = _problems(table, dataset, suite_result.results, reasons, alike)
    items, quarantined = len(table), len(reasons)
    left_out = manifest.left_out(path)
    others = sentence(left_out)
    report = {
        "dataset": name,
        "kind": dataset.kind,
        "passed": int(not problems),
        "items": items,
        "quarantined": quarantined,
        "quarantined_share": quarantined / items if items else 1.0,
        "max_quarantined": dataset.max_quarantined,
        "near_duplicates": alike,
        "left_out": [each.as_json() for each in left_out],
        "manifest": sha256_file(path),
        "expectations": [result.as_json() for result in suite_result.results],
    }
    listed = list(_quarantined(table, reasons))
    quarantine.write(project.quarantine(name), listed)
    notes = [_near_duplicates_note(table, near, dataset), *([others] if others else [])]
    page = validation_page.render(report, suite_result.results, problems, listed, notes)
    write_text(project.validation_page(name), page)
    write_json(project.validation(name), report)
    entering = f"{items - quarantined} of {items} items passed validation"
    _announce(project, name, entering, problems, others)


def _announce(project: Project, name: str, entering: str, problems: list[str], others: str) -> None:
    """Print how many items enter; raise DataError instead if there are problems."""
    if problems:
        problems = [*problems, others] if others else problems
        raise DataError(
            f"{name} failed its validation: {'; '.join(problems)}. "
            f"See {project.quarantine(name)} and {project.validation_page(name)}."
        )
    print(f"{name}: {entering}{f'; {others}' if others else ''}")  # noqa: T201


def _problems(
    table: pd.DataFrame,
    dataset: Dataset,
    results: tuple[RuleResult, ...],
    reasons: dict[int, str],
    alike: dict[str, Any],
) -> list[str]:
    """Return why the data set is refused; empty if it is accepted."""
    items, quarantined = len(table), len(reasons)
    problems = [result.problem for result in results if result.level == "set" and not result.passed]
    if not items or quarantined / items > dataset.max_quarantined:
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
    return problems


def _near_duplicates(table: pa.Table, dataset: Dataset) -> NearDuplicates:
    """Return the group of each row of a manifest; an unreadable item is a group of its own."""
    readable = pc.is_null(table["error"]).to_numpy(zero_copy_only=False)
    inside = assignment.near_duplicates(table.filter(pc.is_null(table["error"])), dataset)
    rows = np.arange(len(table))
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


def _near_duplicates_note(table: pd.DataFrame, near: NearDuplicates, dataset: Dataset) -> str:
    """Return the sentence on near-duplicates for the page."""
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
