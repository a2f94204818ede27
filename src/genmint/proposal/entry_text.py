"""Text of an entry for params.yaml, one key a line, with a comment behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genmint.common.escaping import printable

# Strings that need no quotes, and those among them that YAML reads as something else.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*")
_NO_STRINGS = {
    form for word in ("true", "false", "yes", "no", "on", "off", "y", "n", "null")
    for form in (word, word.capitalize(), word.upper())
}  # fmt: skip


@dataclass(frozen=True)
class EntryKey:
    """A key of an entry.

    Attributes:
        key: name of the key.
        value: number, string, list or map of these, or None.
        why: comment behind the value; "" for none.
    """

    key: str
    value: Any
    why: str = ""


@dataclass(frozen=True)
class ParamsEntry:
    """An entry of one of the maps of params.yaml.

    Attributes:
        name: name of the entry.
        settings: its keys in order.
        why: comment above its name; "" for none.
    """

    name: str
    settings: tuple[EntryKey, ...]
    why: str = ""

    def values(self) -> dict[str, Any]:
        """Return the keys and values without comments."""
        return {setting.key: setting.value for setting in self.settings}


def document(maps: dict[str, Sequence[ParamsEntry]]) -> str:
    """Return a YAML document with these entries, by the map of params.yaml that they belong to."""
    lines = []
    for top, entries in maps.items():
        if entries:
            lines.append(f"{top}:")
        for entry in entries:
            if entry.why:
                lines.append(f"  # {_comment(entry.why)}")
            lines.append(f"  {entry.name}:")
            for setting in entry.settings:
                lines += _lines(setting)
    return "\n".join(lines) + "\n"


def _lines(setting: EntryKey) -> list[str]:
    """Return the lines of a setting; a list has one item a line, as DVC writes it."""
    why = f"  # {_comment(setting.why)}" if setting.why else ""
    if isinstance(setting.value, list | tuple):
        items = [f"    - {_yaml(each)}" for each in setting.value]
        return [f"    {setting.key}:{why}", *items]
    return [f"    {setting.key}: {_yaml(setting.value)}{why}"]


def _yaml(value: Any) -> str:
    """Return a value in YAML's flow style; strings that YAML would read otherwise are quoted."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value not in _NO_STRINGS:
        return value
    return json.dumps(value, ensure_ascii=False)


def _comment(text: str) -> str:
    return printable(text).replace("\n", " ")
