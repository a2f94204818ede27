"""Explanation of a key of params.yaml by its name, and the nearest key if it does not exist."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from genmint.common.errors import ConfigError
from genmint.config.settings import ANY, KIND_KEYS, Setting, all_settings, as_yaml, kinds_of, maps

_INDENT = "  "


def overview(document: Mapping[str, Any], width: int = 100) -> str:
    """Return the maps of params.yaml with their kinds and entries, as lines.

    Args:
        document: parsed params.yaml.
        width: line width in characters.
    """
    lines = []
    for top, description in maps().items():
        lines += [top, *_wrapped(description, width)]
        if kinds_of(top):
            lines += _row(KIND_KEYS[top], ", ".join(kinds_of(top)), width)
        lines += [*_row("entries", ", ".join(_entries(document, top)) or "none", width), ""]
    lines += ["`genmint config models.vae` lists keys; `genmint config models.vae.latent` is one."]
    return "\n".join(lines)


def explain(key: str, document: Mapping[str, Any], width: int = 100) -> str:
    """Return description, type, range, default and present value of a key, or the keys of a map.

    Args:
        key: such as `models.image-vae.latent`; `*`, a kind of data set or a family may replace the
            name of the entry. It may also be a map: `models.vae`, `gates.*.health`.
        document: parsed params.yaml; it need not be valid.
        width: line width in characters.

    Raises:
        ConfigError: there is no such key; the message names the nearest one.
    """
    exact, below = _matching(key, document)
    top, entry, _ = _parts(key)
    if not entry:
        listed = _listed(f"{top}.{ANY}", below, width)
        return "\n".join([top, *_wrapped(maps()[top], width), "", *listed])
    blocks = [_explained(key, one, document, width) for one in exact]
    if below:
        blocks.append(_listed(key, below, width))
    return "\n\n".join("\n".join(block) for block in blocks)


def explain_as_objects(key: str, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the setting of a key, or all settings of a map, as objects for JSON.

    Each has `key`, `kinds` (those that have it; empty: all), `description`, `type`, `range`,
    `default` (null: required) and, if the key names an entry of params.yaml, `present`.

    Raises:
        ConfigError: there is no such key; the message names the nearest one.
    """
    exact, below = _matching(key, document)
    top, entry, _ = _parts(key)
    objects = []
    for one in [*exact, *below]:
        described: dict[str, Any] = {
            "key": ".".join((top, entry or ANY, *one.path)),
            "kinds": list(one.kinds),
            "description": one.description,
            "type": one.type,
            "range": one.range or None,
            "default": one.default,
        }
        if entry in _entries(document, top):
            described["present"] = _present(_entries(document, top)[entry], one.path)
        objects.append(described)
    return objects


def _matching(key: str, document: Mapping[str, Any]) -> tuple[list[Setting], list[Setting]]:
    """Return the settings that a key names, and those of the map that it names.

    Raises:
        ConfigError: there are neither; the message names the nearest key.
    """
    top, entry, path = _parts(key)
    if top not in maps():
        raise _unknown(key, document)
    if not entry:
        return [], [one for one in all_settings() if one.map == top]
    kinds = _kinds(top, entry, document)
    if kinds is None:
        raise _unknown(key, document)
    here = [one for one in all_settings() if one.map == top and _has(one, kinds)]
    exact = [one for one in here if _fits(one.path, path)]
    below = [one for one in here if _fits(one.path[: len(path)], path) and one not in exact]
    if not exact and not below:
        raise _unknown(key, document)
    return exact, below


def _parts(key: str) -> tuple[str, str, tuple[str, ...]]:
    top, _, rest = key.partition(".")
    entry, _, path = rest.partition(".")
    return top, entry, tuple(path.split(".")) if path else ()


def _entries(document: Mapping[str, Any], top: str) -> dict[str, Any]:
    entries = document.get(top)
    return entries if isinstance(entries, dict) else {}


def _kinds(top: str, entry: str, document: Mapping[str, Any]) -> set[str] | None:
    """Return the kinds that a name may have: all if unknown; None if there is no such name."""
    known = set(kinds_of(top))
    entry_value = _entries(document, top).get(entry)
    if entry_value is not None:
        kind = entry_value.get(KIND_KEYS.get(top)) if isinstance(entry_value, dict) else None
        return {kind} if kind in known else known
    if entry == ANY:
        return known
    return {entry} if entry in known else None


def _fits(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    return len(pattern) == len(path) and all(
        part in (ANY, name) for part, name in zip(pattern, path, strict=True)
    )


def _explained(key: str, one: Setting, document: Mapping[str, Any], width: int) -> list[str]:
    top, entry, path = _parts(key)
    lines = [f"{key}{_of_kinds(one)}", *_wrapped(one.description, width)]
    lines += _row("type", one.type, width)
    lines += _row("range", one.range, width) if one.range else []
    lines += _row("default", "none: the key is required" if one.default is None else one.default,
                  width)  # fmt: skip
    if entry in _entries(document, top):
        lines += _row("present", _present(_entries(document, top)[entry], path), width)
    return lines


def _present(value: Any, path: tuple[str, ...]) -> str:
    """Return the value of a key in params.yaml, or a note that it is left out."""
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return "left out, so the default applies"
        value = value[part]
    return as_yaml(value)


def _listed(key: str, below: Iterable[Setting], width: int) -> list[str]:
    """Return the keys of a map, each with the first sentence of its description."""
    top, _, path = _parts(key)
    lines = [f"Keys of {key}:"]
    for one in below:
        names = [part for part in one.path[len(path) :] if part != ANY]
        if len(names) == 1:
            text = f"{one.summary}{_of_kinds(one) if key.startswith(f'{top}.{ANY}') else ''}"
            lines += _row(names[0], text, width, label=20)
    return lines


def _of_kinds(one: Setting) -> str:
    """Return the kinds that have a key, in brackets; empty if all have it."""
    return "" if one.kinds == kinds_of(one.map) else f" ({', '.join(one.kinds)})"


def _has(one: Setting, kinds: set[str] | None) -> bool:
    """Return whether entries of these kinds have a key; gates and drift have no kinds."""
    return kinds is not None and (not kinds or bool(kinds & {*one.kinds}))


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=_INDENT, subsequent_indent=_INDENT)


def _row(name: str, value: str, width: int, label: int = 9) -> list[str]:
    head = f"{_INDENT}{name:{label}} "
    return textwrap.wrap(value, width, initial_indent=head, subsequent_indent=" " * len(head))


def _unknown(key: str, document: Mapping[str, Any]) -> ConfigError:
    near = _nearest(key, document)
    hint = f"did you mean {near!r}?" if near else f"the maps are {', '.join(maps())}"
    return ConfigError(f"params.yaml has no key {key!r}; {hint}")


def _nearest(key: str, document: Mapping[str, Any]) -> str | None:
    """Return the known key most similar to this one, preferably with the same last part."""
    entry, last = _parts(key)[1], key.rpartition(".")[2]
    names = {top: [ANY, *kinds_of(top)] for top in maps()}
    for top, known in names.items():
        known += difflib.get_close_matches(entry, _entries(document, top), n=3)
    keys = [
        f"{one.map}.{name}.{one.key}"
        for one in all_settings()
        for name in names[one.map]
        if _has(one, _kinds(one.map, name, document))
    ]
    same = [name for name in keys if name.rpartition(".")[2] == last]
    if same:
        return difflib.get_close_matches(key, same, n=1, cutoff=0.0)[0]
    tops = [*maps(), *(f"{top}.{name}" for top, known in names.items() for name in known)]
    return next(iter(difflib.get_close_matches(key, [*tops, *keys], n=1, cutoff=0.5)), None)
