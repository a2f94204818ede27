"""Great Expectations on a manifest: whether a set may enter, and which of its rows may not."""

from __future__ import annotations

import difflib
import html
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genmint.data.docs_errors import docs_errors
from genmint.errors import ConfigError, GenmintError
from genmint.escaping import printable
from genmint.reading import read_yaml

if TYPE_CHECKING:
    import pandas as pd

Level = Literal["set", "row"]
_SECTIONS: dict[Level, str] = {"set": "set", "row": "rows"}


@dataclass(frozen=True)
class Rule:
    """One entry of a suite.

    Attributes:
        place: file and position, for messages.
        expectation: name as in Great Expectations' documentation, such as
            expect_column_values_to_be_between.
        arguments: its arguments.
        reason: why an item that fails is quarantined; `{value}` stands for what was found.
    """

    place: str
    expectation: str
    arguments: dict[str, Any]
    reason: str

    @property
    def name(self) -> str:
        """Short name for reports."""
        column = self.arguments.get("column")
        return f"{self.expectation}: {column}" if column else self.expectation


@dataclass(frozen=True)
class Suite:
    """The expectations of a kind, on the set and on its rows."""

    set: tuple[Rule, ...]
    row: tuple[Rule, ...]


@dataclass(frozen=True)
class Finding:
    """What came of one rule; `observed` is the value (set) or the number of rows that fail."""

    rule: Rule
    level: Level
    passed: bool
    observed: Any

    def as_json(self) -> dict[str, Any]:
        """As in reports/data/NAME.json."""
        return {
            "name": self.rule.name,
            "level": self.level,
            "passed": self.passed,
            "observed": self.observed,
            "arguments": self.rule.arguments,
        }


@dataclass(frozen=True)
class Verdict:
    """What came of a suite.

    Attributes:
        findings: of every rule, in the order of the suite.
        reasons: why each row is quarantined, by its position in the manifest.
    """

    findings: tuple[Finding, ...]
    reasons: dict[int, str]


def read_suite(path: Path) -> Suite:
    """Read gx/KIND.yaml.

    Raises:
        ConfigError: missing, not YAML, or not made of expectations.
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

    Row rules see all rows (statistics of unreadable ones are empty, which they ignore); set rules
    see the rows that no row rule quarantined.

    Args:
        table: the manifest with the columns duplicate_of and near_duplicate_of.
        suite: what to expect.
        docs: folder for the browsable pages; index.html is their start.
        note: a sentence for that page.

    Raises:
        ConfigError: a rule cannot be run, for instance on a column that is not there.
    """
    context = _context(docs)
    on_rows = _run(context, "rows", table, suite.row, {"result_format": "COMPLETE"})
    findings: list[Finding] = []
    reasons: dict[int, str] = {}
    for rule, result in zip(suite.row, on_rows, strict=True):
        failing = result.get("unexpected_index_list") or []
        values = result.get("unexpected_list") or []
        for position, value in zip(failing, values, strict=True):
            reasons.setdefault(int(position), rule.reason.replace("{value}", _shown(value)))
        findings.append(Finding(rule, "row", not failing, len(failing)))
    entering = table.drop(index=list(reasons))
    if entering.empty:
        # Statistics of nothing are errors in some expectations and passes in others.
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
        expectation, column = entry["expectation"], entry.get("column")
        if level == "row" and not expectation.startswith("expect_column_values_"):
            raise ConfigError(
                f"{place}: {expectation} does not judge single rows; move it to the list set"
            )
        reason = str(entry.get("reason", f"{column} is {{value}}: {expectation}"))
        rules.append(Rule(place, expectation, arguments, reason))
    return tuple(rules)


def _context(docs: Path) -> Any:
    """A context in memory that writes its pages to `docs` and nothing anywhere else."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    import great_expectations as gx
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
    """Write the Data Docs, with an index that can be followed without internet.

    The index of Great Expectations draws its tables by scripts that it loads from elsewhere.
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
    """Escape what results show of the data: Great Expectations writes it into pages as markup."""
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
    """Which level a page is about, by its name: manifest-LEVEL-LEVEL or LEVEL."""
    return "on the set" if page.stem.endswith("set") else "on single rows"


def _run(
    context: Any, name: str, table: pd.DataFrame, rules: tuple[Rule, ...], form: dict[str, Any]
) -> list[dict[str, Any]]:
    """Results of the rules, in their order, each with `success`; kept for the Data Docs."""
    import great_expectations as gx
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
    import great_expectations as gx
    from pydantic.v1 import ValidationError

    camel = "".join(part.capitalize() for part in rule.expectation.split("_"))
    kind = getattr(gx.expectations, camel, None)
    if kind is None:
        known = [re.sub(r"(?<!^)(?=[A-Z])", "_", found).lower() for found in dir(gx.expectations)]
        near = difflib.get_close_matches(rule.expectation, known, n=1)
        raise ConfigError(
            f"{rule.place}: Great Expectations has no {rule.expectation}"
            + (f"; did you mean {near[0]}?" if near else "")
        )
    try:
        return kind(**rule.arguments, meta={"rule": number})
    except (ValidationError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{rule.place}: {rule.expectation}: {' '.join(str(error).split())}"
        ) from None


def _refuse_raised(rule: Rule, information: dict[str, Any]) -> None:
    """Turn an expectation that could not be evaluated into an error, never into a pass."""
    single = "raised_exception" in information
    for found in [information] if single else list(information.values()):
        if found.get("raised_exception"):
            message = " ".join(str(found.get("exception_message")).split())
            raise ConfigError(f"{rule.place}: {rule.name} cannot be evaluated: {message}")


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    """What JSON can say of an observed value."""
    if isinstance(value, list | tuple | set):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if value is None or isinstance(value, bool | int | str):
        return value
    number = float(value)
    return number if number - number == 0 else str(number)
