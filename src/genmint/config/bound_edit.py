"""Change of a single bound in params.yaml as text; comments and all other bytes are kept."""

from __future__ import annotations

import re
from typing import Any

from genmint.common.errors import ConfigError
from genmint.common.layout import PARAMS
from genmint.common.reading import parse_yaml

# Beginning of the comments that `genmint calibrate` writes, and replaces when it runs again.
MARK = "# calibrated"
_SCALAR = re.compile(r"[^\s,}#]+")


def with_bound(text: str, name: str, metric: str, key: str, value: float, comment: str) -> str:
    """Set `gates.NAME.thresholds.METRIC.KEY` in the text of params.yaml.

    A line with `comment` is put above the line of the metric; it replaces the one of an earlier
    call. Thresholds of one metric may be on a single line. The line endings of the text are kept.

    Args:
        text: content of params.yaml without byte order mark.
        name: name of the model.
        metric: name of a metric that the gate has.
        key: min, max or skill.
        value: new value.
        comment: one line without `#`.

    Raises:
        ConfigError: the place cannot be changed as text, for example because of an anchor.
    """
    wanted = _unshared(parse_yaml(text, PARAMS))
    wanted["gates"][name]["thresholds"][metric][key] = value
    lines = text.splitlines(keepends=True)
    thresholds = _positions(text)["gates"][name]["thresholds"]
    try:
        line = _set(lines, thresholds, metric, key, f"{value!r}")
        # A comment above a line of several metrics would not say which of them it is about.
        first = (metric,) if len(thresholds) > 1 else (metric, "thresholds")
        _comment(lines, line, first, comment)
        after = "".join(lines)
        same = parse_yaml(after, PARAMS) == wanted
    except (ConfigError, IndexError, AttributeError, TypeError):
        same = False
    if not same:
        raise ConfigError(
            f"params.yaml: gates.{name}.thresholds.{metric} cannot be changed as text: write the "
            "metric on a line of its own, without anchors"
        )
    return after


def _unshared(node: Any) -> Any:
    """Return a copy in which an anchor and its aliases are separate values."""
    if isinstance(node, dict):
        return {key: _unshared(value) for key, value in node.items()}
    return [_unshared(value) for value in node] if isinstance(node, list) else node


def _positions(text: str) -> Any:
    """Parse a document with the positions of its keys and values."""
    from ruamel.yaml import YAML

    return YAML().load(text)


def _set(lines: list[str], thresholds: Any, metric: str, key: str, value: str) -> int:
    """Set the value of a key in the lines; return the line of the metric."""
    line, _ = thresholds.lc.key(metric)
    bound = thresholds[metric]
    if key in bound:
        row, column = bound.lc.value(key)
        old = lines[row]
        match = _SCALAR.match(old, column)
        end = column if match is None else match.end()
        lines[row] = old[:column] + value + old[end:]
    elif bound.fa.flow_style():
        row, column = thresholds.lc.value(metric)
        at = lines[row].index("{", column) + 1
        comma = ", " if len(bound) else ""
        lines[row] = f"{lines[row][:at]}{key}: {value}{comma}{lines[row][at:].lstrip(' ')}"
    else:
        row, column = bound.lc.key(next(iter(bound)))
        ending = lines[row][len(lines[row].rstrip("\r\n")) :] or "\n"
        lines.insert(row, f"{' ' * column}{key}: {value}{ending}")
    return int(line)


def _comment(lines: list[str], line: int, first: tuple[str, ...], comment: str) -> None:
    """Put a comment above a line that begins with one of these keys; replace an earlier one."""
    old = lines[line]
    if old.lstrip().partition(":")[0] not in first:
        raise ConfigError("the metric is not the first key of its line")
    indent = old[: len(old) - len(old.lstrip())]
    ending = "\r\n" if old.endswith("\r\n") else "\n"
    text = f"{indent}{MARK}: {comment}{ending}"
    if line > 0 and lines[line - 1].lstrip().startswith(MARK):
        lines[line - 1] = text
    else:
        lines.insert(line, text)
