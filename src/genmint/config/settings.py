"""Every key of params.yaml with its type, range, default and description.

They are read from the JSON Schema, which is derived from the fields, so nothing is written twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from genmint.config.schema import json_schema

# Placeholder for a name that a user chooses, of an entry or of a metric.
ANY = "*"
# Key that selects the kind of an entry, by map.
KIND_KEYS = {"datasets": "kind", "models": "family"}

# Text that needs no quotes in YAML 1.2.
# Texts that YAML reads back as they are without quotes. `.0` and `.inf` would be numbers.
_PLAIN = re.compile(r"([A-Za-z_/]|\.{1,2}/)[\w./@ -]*(:[\w./-]+)*(?<! )")
_WORDS = ("true", "false", "null")
_BOUNDS = {
    "minimum": "{} or more",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}


@dataclass(frozen=True)
class Setting:
    """One key of params.yaml.

    Attributes:
        map: top-level map that contains it: datasets, models, gates or drift.
        kinds: kinds of data set or families of model that have it; empty in gates and drift.
        path: keys below the entry; `*` for a name that the user chooses.
        type: type of the value, in words.
        range: accepted values, in words; "" if the type is sufficient.
        default: value that applies if the key is left out, as YAML; None: the key is required.
        description: one sentence with the meaning, then the details.
        nested: whether the value is a map whose keys are settings.
        section: class of the map that contains the key, such as Optimiser; "" for an entry.
    """

    map: str
    kinds: tuple[str, ...]
    path: tuple[str, ...]
    type: str
    range: str
    default: str | None
    description: str
    nested: bool
    section: str

    @property
    def key(self) -> str:
        """The key below its entry, such as `optimiser.lr`."""
        return ".".join(self.path)

    @property
    def name(self) -> str:
        """The full key, such as `models.vae.free_bits`; `*` if all kinds have it."""
        entry = self.kinds[0] if self.kinds and self.kinds != kinds_of(self.map) else ANY
        return ".".join((self.map, entry, *self.path))

    @property
    def summary(self) -> str:
        """First sentence of the description."""
        return first_sentence(self.description)


def first_sentence(text: str) -> str:
    """Return the text up to and including its first full stop before a blank."""
    head, stop, _ = text.partition(". ")
    return f"{head}." if stop else head


def maps() -> dict[str, str]:
    """Return the description of each map of params.yaml."""
    return {name: entries["description"] for name, entries in _schema()["properties"].items()}


def kinds_of(top: str) -> tuple[str, ...]:
    """Return the kinds of data set, or families of model; empty for the other maps."""
    return tuple(_union(_schema()["properties"][top]["additionalProperties"]))


@lru_cache
def _schema() -> dict[str, Any]:
    return json_schema()


@lru_cache
def all_settings() -> tuple[Setting, ...]:
    """Return all keys in the order of the fields; kinds that share a key have one setting."""
    kinds: dict[Setting, list[str]] = {}
    schema = _schema()
    for top, entries in schema["properties"].items():
        entry = entries["additionalProperties"]
        for kind, reference in (_union(entry) or {"": entry["$ref"]}).items():
            for setting in _walk(top, (), reference):
                kinds.setdefault(setting, []).append(kind)
    return tuple(replace(setting, kinds=tuple(filter(None, k))) for setting, k in kinds.items())


def _union(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the references of a union by the kind that selects each, in the order of the union."""
    mapping = entry.get("discriminator", {}).get("mapping", {})
    kinds = {reference: kind for kind, reference in mapping.items()}
    return {kinds[one["$ref"]]: one["$ref"] for one in entry.get("oneOf", ())}


def _walk(top: str, path: tuple[str, ...], reference: str) -> Iterator[Setting]:
    owner = reference.rpartition("/")[2]
    definition = _schema()["$defs"][owner]
    required = definition.get("required", ())
    for key, node in definition["properties"].items():
        below = _nested(node)
        yield Setting(
            map=top,
            kinds=(),
            path=(*path, key),
            type=_type(node),
            range=_range(node),
            default=None if key in required else _default(node, below),
            description=node.get("description", ""),
            nested=below is not None,
            section=owner if path else "",
        )
        if below is not None:
            chosen = (ANY,) if "additionalProperties" in node else ()
            yield from _walk(top, (*path, key, *chosen), below)


def _nested(node: Mapping[str, Any]) -> str | None:
    """Return the reference to the class of a value, or of the values of a map."""
    if "$ref" in node:
        return str(node["$ref"])
    options = [node.get("additionalProperties"), *node.get("anyOf", ())]
    return next((str(one["$ref"]) for one in options if one and "$ref" in one), None)


def _default(node: Mapping[str, Any], nested: str | None) -> str:
    value = node["default"]
    if nested is not None and isinstance(value, dict):
        own = _schema()["$defs"][nested.rpartition("/")[2]]["properties"]
        value = {key: x for key, x in value.items() if own[key].get("default", ANY) != x}
    return as_yaml(value)


def as_yaml(value: object) -> str:
    """Format a value as in params.yaml, on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {as_yaml(x)}" for key, x in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_yaml, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def _type(node: Mapping[str, Any]) -> str:
    *first, last = _types(node)
    return f"{', '.join(first)} or {last}" if first else last


def _types(node: Mapping[str, Any]) -> list[str]:
    """Return the accepted types or values, in words."""
    if "anyOf" in node:
        return [name for option in node["anyOf"] for name in _types(option)]
    if "enum" in node:
        return [str(value) for value in node["enum"]]
    if "const" in node:
        return [str(node["const"])]
    if node.get("type") == "boolean":
        return ["true", "false"]
    if "prefixItems" in node:
        return [f"list of {len(node['prefixItems'])} {_type(node['prefixItems'][0])}s"]
    if node.get("type") == "array":
        return [f"list of {_type(node['items'])}" + ("" if "enum" in node["items"] else "s")]
    kind = node.get("type", "object")
    return [{"string": "text", "object": "map"}.get(kind, kind)]


def _range(node: Mapping[str, Any]) -> str:
    options = [_range(option) for option in node.get("anyOf", ())]
    items = node.get("items") or next(iter(node.get("prefixItems", ())), None)
    if items and (each := _range(items)):
        options.append(f"each {each}")
    if node.get("minItems", 0) == 1 or node.get("minProperties", 0) == 1:
        options.append("one entry or more")
    if "maxLength" in node:
        least = f"{node['minLength']} to " if "minLength" in node else "at most "
        options.append(f"{least}{node['maxLength']} characters")
    return ", ".join(filter(None, [_interval(node), *options]))


def _interval(node: Mapping[str, Any]) -> str:
    if node.get("type") == "integer" and "exclusiveMinimum" in node:
        node = {**node, "minimum": node["exclusiveMinimum"] + 1}
        del node["exclusiveMinimum"]
    if "minimum" in node and "maximum" in node:
        return f"{_number(node['minimum'])} to {_number(node['maximum'])}"
    return ", ".join(
        words.format(_number(node[bound])) for bound, words in _BOUNDS.items() if bound in node
    )


def _number(value: float) -> str:
    if value == 2**63:
        return "2^63"
    return str(int(value)) if value == int(value) else f"{value:g}"
