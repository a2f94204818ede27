"""Validation of a manifest with Great Expectations: of the whole set and of single rows."""

from __future__ import annotations

import difflib
import os
import string
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genmint.common.errors import ConfigError
from genmint.common.reading import read_yaml

if TYPE_CHECKING:
    import pandas as pd

Level = Literal["set", "row"]
_SECTIONS: dict[Level, str] = {"set": "set", "row": "rows"}
# Name of Great Expectations' content that says what an expectation demands.
_DESCRIPTION = "atomic.prescriptive.summary"
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
class RuleResult:
    """Result of one rule.

    Attributes:
        rule: the rule.
        level: whether it judges the set or single rows.
        passed: whether it passed.
        observed: the value (set), or the number of failing rows.
        sentence: what the rule demands, in Great Expectations' words.
        examples: some different values that failed, if the rule judges the set by its values.
    """

    rule: Rule
    level: Level
    passed: bool
    observed: Any
    sentence: str
    examples: tuple[str, ...] = ()

    @property
    def problem(self) -> str:
        """What a rule on the set demands and what it found, for messages."""
        limits = ", ".join(
            f"{key}: {value}" for key, value in self.rule.arguments.items() if key != "column"
        )
        return f"{self.rule.name} ({limits}) found {self.observed}"

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
class SuiteResult:
    """Result of a suite.

    Attributes:
        results: results of all rules, in the order of the suite.
        reasons: why each row is quarantined, by its position in the manifest.
    """

    results: tuple[RuleResult, ...]
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


def validate(table: pd.DataFrame, suite: Suite) -> SuiteResult:
    """Run a suite on a manifest.

    Row rules apply to all rows; they ignore the empty statistics of unreadable items. Set rules
    apply to the rows that no row rule quarantined.

    Args:
        table: manifest with the columns duplicate_of and near_duplicate_of.
        suite: the expectations.

    Raises:
        ConfigError: a rule cannot be evaluated, for example because a column does not exist.
    """
    context = _context()
    on_rows = _run(context, "rows", table, suite.row, {"result_format": "COMPLETE"})
    results: list[RuleResult] = []
    reasons: dict[int, str] = {}
    for rule, (result, sentence) in zip(suite.row, on_rows, strict=True):
        failing = _failing(rule, result)
        for position, value in zip(failing, _values(table, rule, failing), strict=True):
            reasons.setdefault(position, rule.reason.replace("{value}", value))
        results.append(RuleResult(rule, "row", not failing, len(failing), sentence))
    entering = table.drop(index=list(reasons))
    if entering.empty:
        # Statistics of an empty set are errors in some expectations and passed in others.
        results += [RuleResult(rule, "set", False, None, _described(rule)) for rule in suite.set]
        return SuiteResult(tuple(results), dict(sorted(reasons.items())))
    on_set = _run(context, "set", entering, suite.set, {"result_format": "SUMMARY"})
    for rule, (result, sentence) in zip(suite.set, on_set, strict=True):
        observed = _plain(result.get("observed_value", result.get("unexpected_count")))
        passed, examples = bool(result["success"]), _examples(result)
        results.append(RuleResult(rule, "set", passed, observed, sentence, examples))
    return SuiteResult(tuple(results), dict(sorted(reasons.items())))


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
    for row in table.loc[rows, list(rule.columns)].itertuples(index=False, name=None):
        yield ", ".join(map(_shown, row))


def _examples(result: dict[str, Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(_shown, result.get("partial_unexpected_list") or ())))


def _great_expectations() -> Any:
    """Import Great Expectations lazily, which takes seconds, and disable its analytics."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "False")
    import great_expectations

    return great_expectations


def _context() -> Any:
    """Return an in-memory context that builds no pages and shows no progress."""
    gx = _great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    return context


def _run(
    context: Any, name: str, table: pd.DataFrame, rules: tuple[Rule, ...], form: dict[str, Any]
) -> list[tuple[dict[str, Any], str]]:
    """Return, in the order of the rules, the result with `success` and the rule as a sentence."""
    gx = _great_expectations()

    suite = context.suites.add(gx.ExpectationSuite(name=name))
    for number, rule in enumerate(rules):
        suite.add_expectation(_expectation(rule, number))
    asset = context.data_sources.add_pandas(f"manifest-{name}").add_dataframe_asset(name)
    definition = gx.ValidationDefinition(
        name=name, data=asset.add_batch_definition_whole_dataframe(name), suite=suite
    )
    outcome = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": table}, result_format=form
    )
    failing: dict[int, tuple[dict[str, Any], str]] = {}
    for result in outcome.results:
        number = result.expectation_config.meta["rule"]
        _refuse_raised(rules[number], result.exception_info)
        sentence = _sentence(rules[number], result)
        failing[number] = ({**result.result, "success": result.success}, sentence)
    return [failing[number] for number in range(len(rules))]


def _sentence(rule: Rule, result: Any) -> str:
    """Return what a rule demands, as Great Expectations describes it."""
    result.render()
    for content in result.expectation_config.rendered_content or ():
        template = content.value.template if content.name == _DESCRIPTION else None
        if template:
            values = {key: each["value"] for key, each in (content.value.params or {}).items()}
            return string.Template(template).safe_substitute(values)
    return _described(rule)


def _described(rule: Rule) -> str:
    arguments = (f"{key}: {value}" for key, value in rule.arguments.items())
    return f"{rule.expectation} ({', '.join(arguments)})"


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
    for exception in [information] if single else list(information.values()):
        if exception.get("raised_exception"):
            message = " ".join(str(exception.get("exception_message")).split())
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
