"""Validation of a manifest with Great Expectations: of the whole set and of single rows."""

from __future__ import annotations

import difflib
import html
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.escaping import printable
from genmint.common.reading import read_yaml
from genmint.data.docs_errors import docs_errors

if TYPE_CHECKING:
    import pandas as pd

Level = Literal["set", "row"]
_SECTIONS: dict[Level, str] = {"set": "set", "row": "rows"}
# Great Expectations classifies these as row expectations, but they compare the column's type.
_ON_TYPES = ("expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list")


@dataclass(frozen=True)
class Rule:
    """One entry of an expectation suite.

    Attributes:
        place: file and position, for messages.
        expectation: name as in Great Expectations' documentation, such as
            expect_column_values_to_be_between.
        arguments: arguments of the expectation.
        reason: why a failing item is quarantined; `{value}` stands for the observed value.
    """

    place: str
    expectation: str
    arguments: dict[str, Any]
    reason: str

    @property
    def name(self) -> str:
        """Short name for reports."""
        return (
            f"{self.expectation}: {', '.join(self.columns)}" if self.columns else self.expectation
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the expectation applies to; empty for table expectations."""
        single = [self.arguments.get(key) for key in ("column", "column_A", "column_B")]
        several = self.arguments.get("column_list")
        named = [*single, *(several if isinstance(several, list) else ())]
        return tuple(str(column) for column in named if column is not None)


@dataclass(frozen=True)
class Suite:
    """Expectations of a kind of data, on the set and on its rows."""

    set: tuple[Rule, ...]
    row: tuple[Rule, ...]


@dataclass(frozen=True)
class Finding:
    """Result of one rule; `observed` is the value (set) or the number of failing rows."""

    rule: Rule
    level: Level
    passed: bool
    observed: Any

    def as_json(self) -> dict[str, Any]:
        """Return the result as in reports/data/NAME.json."""
        return {
            "name": self.rule.name,
            "level": self.level,
            "passed": self.passed,
            "observed": self.observed,
            "arguments": self.rule.arguments,
        }


@dataclass(frozen=True)
class Verdict:
    """Result of a suite.

    Attributes:
        findings: results of all rules, in the order of the suite.
        reasons: why each row is quarantined, by its position in the manifest.
    """

    findings: tuple[Finding, ...]
    reasons: dict[int, str]


def read_suite(path: Path) -> Suite:
    """Read config/expectations/KIND.yaml.

    Raises:
        ConfigError: the file is missing, is not YAML, or contains invalid expectations.
    """
    document = read_yaml(path)
    if not isinstance(document, dict) or set(document) != set(_SECTIONS.values()):
        raise ConfigError(f"{path}: expected the two lists set and rows")
    return Suite(
        set=_read_rules(path, "set", document["set"]),
        row=_read_rules(path, "row", document["rows"]),
    )


def validate(table: pd.DataFrame, suite: Suite, docs: Path, note: str = "") -> Verdict:
    """Run a suite on a manifest and build its Data Docs.

    Row rules apply to all rows; they ignore the empty statistics of unreadable items. Set rules
    apply to the rows that no row rule quarantined.

    Args:
        table: manifest with the columns duplicate_of and near_duplicate_of.
        suite: the expectations.
        docs: folder of the HTML pages, starting at index.html.
        note: a sentence for that page.

    Raises:
        ConfigError: a rule cannot be evaluated, for example because a column does not exist.
    """
    context = _context(docs)
    on_rows = _run(context, "rows", table, suite.row, {"result_format": "COMPLETE"})
    findings: list[Finding] = []
    reasons: dict[int, str] = {}
    for rule, result in zip(suite.row, on_rows, strict=True):
        failing = _failing(rule, result)
        for position, value in zip(failing, _values(table, rule, failing), strict=True):
            reasons.setdefault(position, rule.reason.replace("{value}", value))
        findings.append(Finding(rule, "row", not failing, len(failing)))
    entering = table.drop(index=list(reasons))
    if entering.empty:
        # Statistics of an empty set are errors in some expectations and passed in others.
        findings += [Finding(rule, "set", False, None) for rule in suite.set]
        _build(context, docs, note)
        return Verdict(tuple(findings), dict(sorted(reasons.items())))
    on_set = _run(context, "set", entering, suite.set, {"result_format": "SUMMARY"})
    for rule, result in zip(suite.set, on_set, strict=True):
        observed = _plain(result.get("observed_value", result.get("unexpected_count")))
        findings.append(Finding(rule, "set", bool(result["success"]), observed))
    _build(context, docs, note)
    return Verdict(tuple(findings), dict(sorted(reasons.items())))


def _read_rules(path: Path, level: Level, entries: Any) -> tuple[Rule, ...]:
    if not isinstance(entries, list):
        raise ConfigError(f"{path}: {_SECTIONS[level]}: expected a list of expectations")
    rules = []
    for number, entry in enumerate(entries):
        place = f"{path}: {_SECTIONS[level]}[{number}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("expectation"), str):
            raise ConfigError(f"{place}: give it a key `expectation` and its arguments")
        arguments = {k: v for k, v in entry.items() if k not in ("expectation", "reason")}
        rule = Rule(place, entry["expectation"], arguments, "")
        if level == "row" and not _judges_rows(rule):
            raise ConfigError(
                f"{place}: {rule.name} does not check single rows; move it to the list set"
            )
        otherwise = f"{', '.join(rule.columns)} is {{value}}: {rule.expectation}"
        rules.append(replace(rule, reason=str(entry.get("reason", otherwise))))
    return tuple(rules)


def _judges_rows(rule: Rule) -> bool:
    """Return whether Great Expectations reports the failing rows.

    Raises:
        ConfigError: there is no such expectation.
    """
    kind = _kind(rule)
    from great_expectations.expectations import expectation as base

    single, pair = base.ColumnMapExpectation, base.ColumnPairMapExpectation
    judging = (single, pair, base.MulticolumnMapExpectation)
    return issubclass(kind, judging) and rule.expectation not in _ON_TYPES


def _failing(rule: Rule, result: dict[str, Any]) -> list[int]:
    """Return the positions of the failing rows.

    Raises:
        ConfigError: Great Expectations does not report all of them, so a failing row could be used.
    """
    failing, count = result.get("unexpected_index_list"), result.get("unexpected_count")
    if not isinstance(failing, list) or len(failing) != count:
        raise ConfigError(
            f"{rule.place}: {rule.name}: Great Expectations does not name every row that fails; "
            "move it to the list set"
        )
    return [int(position) for position in failing]


def _values(table: pd.DataFrame, rule: Rule, rows: list[int]) -> Iterator[str]:
    """Yield the values of rows from the table, since Great Expectations lists at most 200."""
    for found in table.loc[rows, list(rule.columns)].itertuples(index=False, name=None):
        yield ", ".join(map(_shown, found))


def _great_expectations() -> Any:
    """Import Great Expectations lazily, which takes seconds, and disable its analytics."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    import great_expectations

    return great_expectations


def _context(docs: Path) -> Any:
    """Return an in-memory context that writes its pages to `docs` only."""
    gx = _great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    for site in list(context.variables.data_docs_sites or {}):
        context.delete_data_docs_site(site)
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    site = {
        "class_name": "SiteBuilder",
        "site_index_builder": index,
        "store_backend": store,
        "show_how_to_buttons": False,
    }
    context.add_data_docs_site("docs", site)
    return context


def _build(context: Any, docs: Path, note: str) -> None:
    """Write the Data Docs, with an index that works offline.

    The index of Great Expectations renders its tables with scripts from the internet.
    """
    _escape_results(context)
    with docs_errors():
        context.build_data_docs()
    links = [f"<p>{html.escape(note)}</p>"] if note else []
    for title, folder in (("Validation results", "validations"), ("Suites", "expectations")):
        pages = sorted((docs / folder).rglob("*.html"))
        found = (f'<a href="{page.relative_to(docs).as_posix()}">{_of(page)}</a>' for page in pages)
        links.append(f"<p>{title}: {', '.join(found)}</p>")
    index = docs / "index.html"
    head, body, rest = index.read_text(encoding="utf-8").partition("<body>")
    if not body:
        raise GenmintError(f"{index}: Great Expectations wrote a page without body")
    index.write_text(f"{head}{body}\n{''.join(links)}\n{rest}", encoding="utf-8")


def _escape_results(context: Any) -> None:
    """Escape data values in results, which Great Expectations writes into pages as markup."""
    store = context.validation_results_store
    for key in store.list_keys():
        found = store.get(key)
        for result in found.results:
            result.result = _escaped(result.result)
        store.set(key, found)


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return html.escape(printable(value))
    if isinstance(value, dict):
        return {key: _escaped(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return value


def _of(page: Path) -> str:
    """Return the level of a page from its name: manifest-LEVEL-LEVEL or LEVEL."""
    return "on the set" if page.stem.endswith("set") else "on single rows"


def _run(
    context: Any, name: str, table: pd.DataFrame, rules: tuple[Rule, ...], form: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the results of the rules in order, each with `success`; Data Docs use them too."""
    gx = _great_expectations()
    from great_expectations.core.run_identifier import RunIdentifier

    suite = context.suites.add(gx.ExpectationSuite(name=name))
    for number, rule in enumerate(rules):
        suite.add_expectation(_expectation(rule, number))
    asset = context.data_sources.add_pandas(f"manifest-{name}").add_dataframe_asset(name)
    definition = gx.ValidationDefinition(
        name=name, data=asset.add_batch_definition_whole_dataframe(name), suite=suite
    )
    checkpoint = gx.Checkpoint(
        name=name,
        validation_definitions=[context.validation_definitions.add(definition)],
        result_format=form,
    )
    outcome = context.checkpoints.add(checkpoint).run(
        batch_parameters={"dataframe": table}, run_id=RunIdentifier(run_name="validate")
    )
    found: dict[int, dict[str, Any]] = {}
    for run in outcome.run_results.values():
        for result in run.results:
            number = result.expectation_config.meta["rule"]
            _refuse_raised(rules[number], result.exception_info)
            found[number] = {**result.result, "success": result.success}
    return [found[number] for number in range(len(rules))]


def _expectation(rule: Rule, number: int) -> Any:
    from pydantic.v1 import ValidationError

    try:
        return _kind(rule)(**rule.arguments, meta={"rule": number})
    except (ValidationError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{rule.place}: {rule.expectation}: {' '.join(str(error).split())}"
        ) from None


def _kind(rule: Rule) -> Any:
    """Return the class of an expectation.

    Raises:
        ConfigError: there is none of that name.
    """
    _great_expectations()
    from great_expectations.exceptions import ExpectationNotFoundError
    from great_expectations.expectations import registry

    try:
        return registry.get_expectation_impl(rule.expectation)
    except ExpectationNotFoundError:
        known = registry.list_registered_expectation_implementations()
        near = difflib.get_close_matches(rule.expectation, known, n=1)
        raise ConfigError(
            f"{rule.place}: Great Expectations has no {rule.expectation}"
            + (f"; did you mean {near[0]}?" if near else "")
        ) from None


def _refuse_raised(rule: Rule, information: dict[str, Any]) -> None:
    """Raise an error for an expectation that could not be evaluated, so that it never passes."""
    single = "raised_exception" in information
    for found in [information] if single else list(information.values()):
        if found.get("raised_exception"):
            message = " ".join(str(found.get("exception_message")).split())
            raise ConfigError(f"{rule.place}: {rule.name} cannot be evaluated: {message}")


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    """Convert an observed value to JSON types."""
    if isinstance(value, list | tuple | set):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if value is None or isinstance(value, bool | int | str):
        return value
    number = float(value)
    return number if number - number == 0 else str(number)
