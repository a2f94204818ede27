"""YAML 1.2 reader with limits: maps, lists, text, numbers, booleans and null only.

Values are built from the parser's events without recursion, so that the limits apply before
anything is expanded. Numbers and booleans follow YAML 1.2, as in DVC: 2e-4 is a number and `no` is
text. Dates are rejected, since DVC does not support them; in quotes they are text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.reading.content import conflict, decoded, read_bytes, shortened


@dataclass(frozen=True)
class Limits:
    """Limits of a document.

    Attributes:
        bytes: size of the file.
        nodes: number of maps, lists and values, with aliases expanded.
        characters: characters of all values, with aliases expanded.
        depth: nesting of maps and lists, with aliases expanded.
        aliased: number of nodes that come from aliases.
    """

    bytes: int
    nodes: int
    characters: int
    depth: int = 32
    aliased: int = 20_000


# The shipped params.yaml has 10,000 bytes and 500 nodes; 20,000 nodes take less than a second.
CONFIGURATION = Limits(bytes=1 << 20, nodes=20_000, characters=1 << 21)
# DVC writes about 1,500 bytes per stage.
LOCK_FILE = Limits(bytes=64 << 20, nodes=5_000_000, characters=64 << 20)

_TAG = "tag:yaml.org,2002:"
_MAPS, _LISTS = (f"{_TAG}map", "!"), (f"{_TAG}seq", "!")
_BITS = 64
# More characters than any 64-bit or double-precision number needs in any notation.
_NUMBER = 100
_SURROGATES = "\ud800-\udfff"
_CONTROL = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f{_SURROGATES}]")
_KEY = 1000
_NUMBERS = {
    "b": 2,
    "o": 8,
    "x": 16,
}


def read_yaml(
    path: Path, limits: Limits = CONFIGURATION, error: type[GenmintError] = ConfigError
) -> Any:
    """Read a YAML file; see `parse_yaml`.

    Raises:
        GenmintError: as `read_bytes`, `decoded` and `parse_yaml`.
    """
    data = read_bytes(path, limits.bytes, error=error)
    return parse_yaml(decoded(data, str(path), error=error), str(path), limits, error)


def parse_yaml(
    text: str,
    where: str,
    limits: Limits = CONFIGURATION,
    error: type[GenmintError] = ConfigError,
) -> Any:
    """Parse one YAML document; None if it is empty.

    Keys are text and unique within a map. Merge keys (`<<`) are supported; anchors may not contain
    themselves. Tags other than those of JSON's types are rejected.

    Args:
        text: content of the file.
        where: start of each message, usually the path.
        limits: limits of the document.
        error: class of the exception.

    Raises:
        GenmintError: the text is not YAML, or exceeds these limits; one line with file, line and
            column.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if len(text) > limits.bytes:
        raise error(f"{where}: more than {limits.bytes} characters, which is the limit")
    yaml = YAML(typ="safe", pure=True)
    builder = _Builder(limits, yaml.resolver)
    try:
        for event in yaml.parse(text):
            builder.take(event)
    except _Refusal as refusal:
        raise error(f"{where}: {_with_advice(str(refusal), text)}") from None
    except MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        at = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        message = " ".join(f"{problem.context or ''} {problem.problem or ''}".split())
        message = message.replace("found character '\\t'", "found a tab, where only blanks indent,")
        raise error(f"{where}:{at} not valid YAML: {_with_advice(message, text)}") from None
    except YAMLError as problem:
        raise error(f"{where}: {_unprintable(problem, text)}") from None
    except (ValueError, OverflowError, AssertionError) as problem:
        # Raised by the parser for an escape beyond Unicode or an invalid version.
        message = " ".join(str(problem).split())
        raise error(f"{where}: not valid YAML: {message}") from None
    return builder.document


def _with_advice(reason: str, text: str) -> str:
    advice = conflict(text)
    return f"{reason}.{advice}" if advice else reason


class _Refusal(Exception):  # noqa: N818 - it carries a message, and is no error of its own
    """Why a document is rejected; the message begins with the position."""


@dataclass(frozen=True)
class _Value:
    """A finished node: its value, its size with aliases expanded, and its nesting height."""

    value: Any
    nodes: int = 1
    characters: int = 0
    height: int = 0


@dataclass
class _Open:
    """An unfinished map or list; `nodes` and `characters` are the counts before it."""

    event: Any
    value: dict[str, Any] | list[Any]
    nodes: int
    characters: int
    height: int = 0
    key: str | None = None
    merge: bool = False
    merged: list[dict[str, Any]] = field(default_factory=list)


class _Builder:
    """Builds values from events and counts them."""

    def __init__(self, limits: Limits, resolver: Any) -> None:
        self.document: Any = None
        self._limits = limits
        self._resolver = resolver
        self._documents = 0
        self._nodes = 0
        self._characters = 0
        self._aliased = 0
        self._stack: list[_Open] = []
        # None until the anchored node is finished.
        self._anchors: dict[str, _Value | None] = {}

    def take(self, event: Any) -> None:
        """Process one event."""
        kind = type(event).__name__
        if kind == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                _refuse(event, "a second document begins; one is expected")
            if event.version not in (None, (1, 2)):
                _refuse(event, "another version of YAML; leave the line %YAML out: 1.2 is read")
        elif kind == "ScalarEvent":
            self._scalar(event)
        elif kind == "AliasEvent":
            self._alias(event)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self._open(event, [] if kind.startswith("Seq") else {})
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self._close()

    def _open(self, event: Any, value: dict[str, Any] | list[Any]) -> None:
        tag = None if event.tag is None else str(event.tag)
        if tag is not None and tag not in (_LISTS if isinstance(value, list) else _MAPS):
            _refuse(event, f"the tag {shortened(tag)}; tags are not read")
        if self._expects_key():
            _refuse(event, "a key that is a map or a list; keys are text")
        if event.anchor:
            self._anchors[event.anchor] = None
        self._stack.append(_Open(event, value, self._nodes, self._characters))
        self._count(event, 1)

    def _close(self) -> None:
        done = self._stack.pop()
        if isinstance(done.value, dict) and done.merged:
            own = dict(done.value)
            done.value.clear()
            for each in done.merged:
                for key, value in each.items():
                    done.value.setdefault(key, value)
            done.value.update(own)
        nodes, characters = self._nodes - done.nodes, self._characters - done.characters
        closed = _Value(done.value, nodes, characters, done.height + 1)
        if done.event.anchor:
            self._anchors[done.event.anchor] = closed
        self._add(done.event, closed)

    def _alias(self, event: Any) -> None:
        shown = f"*{shortened(event.anchor)[1:-1]}"
        if self._expects_key():
            _refuse(event, f"the key {shown} is an alias; write the key")
        if event.anchor not in self._anchors:
            _refuse(event, f"the alias {shown} names no anchor")
        value = self._anchors[event.anchor]
        if value is None:
            _refuse(event, f"the alias {shown} refers to a node that contains it")
        self._aliased += value.nodes
        if self._aliased > self._limits.aliased:
            _refuse(event, f"aliases stand for more than {self._limits.aliased} values")
        self._count(event, value.nodes, value.characters, value.height)
        self._add(event, value)

    def _scalar(self, event: Any) -> None:
        tag = self._tag(event)
        self._count(event, 1, len(event.value))
        if self._expects_key():
            self._take_key(event, tag)
            return
        value = _Value(_plain(event, tag), characters=len(event.value))
        if event.anchor:
            self._anchors[event.anchor] = value
        self._add(event, value)

    def _tag(self, event: Any) -> str:
        """Return the tag of a value without its common prefix, such as `int`."""
        from ruamel.yaml.nodes import ScalarNode

        tag = None if event.tag is None else str(event.tag)
        if tag is None:
            tag = str(self._resolver.resolve(ScalarNode, event.value, event.implicit))
        elif tag == "!":
            tag = f"{_TAG}str"
        if not tag.startswith(_TAG):
            _refuse(event, f"the tag {shortened(tag)}; tags are not read")
        return tag.removeprefix(_TAG)

    def _expects_key(self) -> bool:
        top = self._stack[-1] if self._stack else None
        return top is not None and isinstance(top.value, dict) and top.key is None and not top.merge

    def _take_key(self, event: Any, tag: str) -> None:
        top = self._stack[-1]
        assert isinstance(top.value, dict)
        if tag == "merge":
            if top.merged:
                _refuse(event, "the key << occurs twice in one map")
            top.merge = True
            return
        if tag != "str":
            shown = shortened(event.value)[1:-1]
            _refuse(event, f"the key {shown} is not text; write it in quotes")
        if len(event.value) > _KEY:
            _refuse(event, f"a key of {len(event.value)} characters; at most {_KEY} are read")
        _check_characters(event)
        if event.value in top.value:
            _refuse(event, f"the key {shortened(event.value)} occurs twice in one map")
        top.key = event.value

    def _add(self, event: Any, value: _Value) -> None:
        if not self._stack:
            self.document = value.value
            return
        top = self._stack[-1]
        top.height = max(top.height, value.height)
        if isinstance(top.value, list):
            top.value.append(value.value)
        elif top.merge:
            maps = value.value if isinstance(value.value, list) else [value.value]
            if not maps or not all(isinstance(each, dict) for each in maps):
                _refuse(event, "<< takes a map, or a list of maps")
            top.merged += maps
            top.merge = False
        else:
            assert top.key is not None
            top.value[top.key] = value.value
            top.key = None

    def _count(self, event: Any, nodes: int, characters: int = 0, height: int = 0) -> None:
        self._nodes += nodes
        self._characters += characters
        limits = self._limits
        if self._nodes > limits.nodes:
            _refuse(event, f"more than {limits.nodes} values, aliases expanded")
        if self._characters > limits.characters:
            _refuse(event, f"more than {limits.characters} characters, aliases expanded")
        if len(self._stack) + height > limits.depth:
            _refuse(event, f"nested more than {limits.depth} deep, aliases expanded")


def _plain(event: Any, tag: str) -> Any:
    """Return the value of a scalar by its tag."""
    text = event.value
    if tag == "str":
        _check_characters(event)
        return text
    if tag == "null":
        return None
    if tag == "bool":
        if text.lower() not in ("true", "false"):
            _refuse(event, f"{shortened(text)} is not true or false")
        return text.lower() == "true"
    if tag in ("int", "float"):
        if len(text) > _NUMBER:
            _refuse(event, f"a number of {len(text)} characters; at most {_NUMBER} are read")
        try:
            return _whole(text) if tag == "int" else _real(text)
        except ValueError:
            _refuse(event, f"{shortened(text)} is not a number of at most {_BITS} bits")
    if tag == "timestamp":
        _refuse(event, f"{text} is a date, which DVC cannot read; write it in quotes")
    if tag in ("value", "merge"):
        _refuse(event, f"{text} without quotes has another meaning in YAML; write it in quotes")
    _refuse(event, f"the tag !!{shortened(tag)[1:-1]}; tags are not read")


def _whole(text: str) -> int:
    digits = text.replace("_", "").lower()
    sign, digits = (-1 if digits[:1] == "-" else 1), digits.lstrip("+-")
    base = _NUMBERS.get(digits[1:2], 10) if digits[:1] == "0" else 10
    number = sign * int(digits[2:] if base != 10 else digits, base)
    if number.bit_length() > _BITS:
        raise ValueError
    return number


def _real(text: str) -> float:
    digits = text.replace("_", "").lower()
    if digits.lstrip("+-") in (".inf", ".nan"):
        digits = digits.replace(".", "")
    return float(digits)


def _check_characters(event: Any) -> None:
    control = _CONTROL.search(event.value)
    if control is not None:
        _refuse(event, f"the control character U+{ord(control.group()):04X} in a text")


def _refuse(event: Any, reason: str) -> NoReturn:
    mark = event.start_mark
    raise _Refusal(f"line {mark.line + 1}, column {mark.column + 1}: {reason}")


def _unprintable(problem: Exception, text: str) -> str:
    """Return place and reason of an error without a mark, which is an unprintable character."""
    position, character = getattr(problem, "position", None), getattr(problem, "character", None)
    if not isinstance(position, int) or not isinstance(character, int | str):
        return f"not valid YAML: {' '.join(str(problem).split())}"
    code = ord(character) if isinstance(character, str) else character
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return f"line {line}, column {column}: not valid YAML: the control character U+{code:04X}"
