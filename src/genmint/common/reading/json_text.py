"""JSON reader with limits."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from genmint.common.errors import GenmintError
from genmint.common.reading.content import conflict, decoded, read_bytes

# The largest JSON file of genmint has a few megabytes.
_BYTES = 64 << 20
_DEPTH = 64
# 64 bits; larger integers overflow when converted to floats or tensors.
_DIGITS = 20
# Matches strings and all other text without brackets, which do not change the depth.
_NO_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[^\[\]{}"]+', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(path: Path, way_out: str = "", error: type[GenmintError] = GenmintError) -> Any:
    """Read a JSON file of at most 64 MiB; see `parse_json`.

    Raises:
        GenmintError: as `read_bytes` and `parse_json`.
    """
    return parse_json(read_bytes(path, _BYTES, way_out, error), str(path), way_out, error)


def parse_json(
    data: bytes | str, where: str, way_out: str = "", error: type[GenmintError] = GenmintError
) -> Any:
    """Parse JSON with at most 64 levels, 64-bit integers and unique keys.

    Python's parser accepts NaN and infinity. The caller has to reject them, since a gate must be
    able to record them.

    Args:
        data: content of the file, UTF-8.
        where: start of each message.
        way_out: last sentence of each message.
        error: class of the exception.

    Raises:
        GenmintError: the data are not JSON, or exceed these limits.
    """
    text = decoded(data, where, way_out, error) if isinstance(data, bytes) else data
    try:
        _check_depth(text)
        value = json.loads(text, parse_int=_whole, object_pairs_hook=_map)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        reason = "half a surrogate pair is no character"
    except json.JSONDecodeError as problem:
        reason = f"{problem.msg}: line {problem.lineno} column {problem.colno}"
    except ValueError as problem:
        reason = str(problem)
    else:
        return value
    raise error(f"{where}: not valid JSON ({reason}).{conflict(text) or f' {way_out}'}".strip())


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= _DEPTH:
        return
    depth = 0
    for bracket in _NO_BRACKETS.sub("", text):
        depth += 1 if bracket in "[{" else -1
        if depth > _DEPTH:
            raise ValueError(f"nested more than {_DEPTH} deep")


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits; at most 64 bits are read")
    return int(digits)


def _map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} occurs twice in one map")
    return mapping
