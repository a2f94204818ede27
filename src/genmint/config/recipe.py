"""Insertion of entries, such as a recipe's, into params.yaml; all existing bytes are kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genmint.common.errors import ConfigError
from genmint.common.nearest import nearest_or_all
from genmint.common.project import Project
from genmint.common.reading import parse_yaml
from genmint.config import parse_params
from genmint.config.params_text import (
    ParamsText,
    as_diff,
    read_params_text,
    write_params_text,
)
from genmint.config.yaml_form import as_dvc_writes

_MAPS = ("datasets", "models", "gates")
_EMPTY = re.compile(r"^([a-z]+:)[ \t]*(?:\{[ \t]*\}|null|~)")


def list_recipes(project: Project) -> list[tuple[str, str]]:
    """Return name and first comment line of each recipe, or why it cannot be read."""
    recipes = []
    for path in sorted(
        (project.root / "config/recipes").glob("*.yaml"), key=lambda path: path.stem
    ):
        try:
            text = read_params_text(path).text
        except ConfigError as error:
            text = str(error)
        recipes.append((path.stem, text.partition("\n")[0].strip().lstrip("# ")))
    return recipes


@dataclass(frozen=True)
class Insertion:
    """Entries that were inserted into the text of params.yaml; nothing is written yet.

    Attributes:
        path: params.yaml.
        before: content of the file.
        after: text with the entries.
        added: keys that were added, such as `models.mnist-vae`.
    """

    path: Path
    before: ParamsText
    after: str
    added: list[str]

    def diff(self) -> str:
        """Return the change as a unified diff."""
        return as_diff(self.before.text, self.after)

    def write(self) -> None:
        """Write params.yaml, atomically.

        Raises:
            ConfigError: the file changed since it was read.
        """
        write_params_text(self.path, self.before, self.after)


def add_recipe(project: Project, name: str) -> list[str]:
    """Insert the entries of config/recipes/NAME.yaml at the end of their maps in params.yaml.

    An identical entry that exists already is skipped, since two recipes may share a data set. All
    existing bytes of params.yaml are kept, including line endings and byte order mark.

    Returns:
        The keys that were added, such as `models.mnist-vae`.

    Raises:
        ConfigError: there is no such recipe, an existing entry of that name differs, or the result
            would not be a valid params.yaml. Nothing is written in these cases.
    """
    source = project.recipes / f"{name}.yaml"
    if not source.is_file():
        known = [recipe for recipe, _ in list_recipes(project)]
        hint = nearest_or_all(name, known)
        raise ConfigError(f"config/recipes/{name}.yaml: no such file; {hint}")
    insertion = insert_entries(project, read_params_text(source).text, source)
    if not insertion.added:
        raise ConfigError(f"params.yaml has everything of config/recipes/{name}.yaml already")
    insertion.write()
    return insertion.added


def insert_entries(project: Project, recipe: str, source: Path) -> Insertion:
    """Insert the entries of a recipe's text at the end of their maps in the text of params.yaml.

    Args:
        project: project of the params.yaml.
        recipe: YAML document with the maps datasets, models and gates; comments are kept.
        source: name of the recipe in messages.

    Raises:
        ConfigError: an existing entry of that name differs, or the result would not be a valid
            params.yaml.
    """
    before = read_params_text(project.params)
    here, there = _maps(before.text, project.params), _recipe(recipe, source)
    recipe_entries = _entries(recipe)
    wanted = {top: dict(here.get(top) or {}) for top in {*here, *there}}
    text, added = before.text, []
    for top in _MAPS:
        for entry, value in (there.get(top) or {}).items():
            registry_state = wanted[top].get(entry)
            if registry_state == value:
                continue
            if registry_state is not None:
                raise ConfigError(
                    f"params.yaml: {top}.{entry} is there already and differs from "
                    f"{source.relative_to(project.root)}; rename or remove one of them"
                )
            wanted[top][entry] = value
            text = _inserted(text, top, recipe_entries[top, entry], wanted, source)
            added.append(f"{top}.{entry}")
    if added:
        parse_params(text, project.params)
    return Insertion(project.params, before, text, added)


def _maps(text: str, path: Path) -> dict[str, Any]:
    """Return the maps of a params.yaml or a recipe."""
    document = parse_yaml(text, str(path))
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected the maps {', '.join(_MAPS)}")
    for top, entries in document.items():
        if not isinstance(entries, dict | None):
            raise ConfigError(f"{path}: {top}: expected a map of entries")
    return document


def _recipe(text: str, path: Path) -> dict[str, Any]:
    document = _maps(text, path)
    unknown = [top for top in document if top not in _MAPS]
    if unknown:
        raise ConfigError(f"{path}: {unknown[0]}: a recipe has the maps {', '.join(_MAPS)}")
    return document


def _positions(text: str) -> Any:
    """Parse a document with the line numbers of its keys; its size was checked before."""
    from ruamel.yaml import YAML

    return YAML().load(text)


def _entries(recipe: str) -> dict[tuple[str, str], str]:
    """Return the text of each entry of a recipe, including its comments, by map and name.

    Each is in the form in which DVC writes params.yaml.
    """
    text = as_dvc_writes(recipe.replace("\r\n", "\n"))
    lines = text.splitlines(keepends=True)
    document = _positions(text)
    starts: list[tuple[int, str, str | None]] = []
    for top in document:
        starts.append((document.lc.key(top)[0], top, None))
        starts.extend((document[top].lc.key(name)[0], top, name) for name in document[top] or ())
    starts.sort(key=lambda start: start[0])
    ends = [_above(lines, line) for line, _, _ in starts[1:]] + [len(lines)]
    return {
        (top, name): "".join(lines[_above(lines, line) : end]).strip("\n") + "\n"
        for (line, top, name), end in zip(starts, ends, strict=True)
        if name is not None
    }


def _above(lines: list[str], line: int) -> int:
    """Return the first line of the comment directly above `line`."""
    indent = len(lines[line]) - len(lines[line].lstrip())
    while line > 0 and lines[line - 1].startswith(" " * indent + "#"):
        line -= 1
    return line


def _inserted(text: str, top: str, entry: str, wanted: dict[str, Any], source: Path) -> str:
    """Insert `entry` into `text` with `_insert`, and check that the result parses to `wanted`."""
    after = _insert(text, top, entry)
    try:
        maps = _maps(after, source)
    except ConfigError:
        maps = {}
    # Insertion is textual, so for example an anchor may clash with one of params.yaml.
    if {key: entries or {} for key, entries in maps.items()} != wanted:
        raise ConfigError(
            f"{source}: cannot be inserted into params.yaml as text: write each entry on lines of "
            "its own, two blanks in front of its name, without anchors"
        )
    return after


def _insert(text: str, top: str, entry: str) -> str:
    """Insert `entry` after the last line of the map `top`, with the line endings of `text`."""
    end_of_line = "\r\n" if "\r\n" in text else "\n"
    entry = entry.replace("\n", end_of_line)
    lines = text.splitlines(keepends=True)
    document: Any = _positions(text)
    if not document or top not in document:
        return text.rstrip("\r\n") + f"{end_of_line * 2}{top}:{end_of_line}{entry}"
    start = document.lc.key(top)[0]
    if not document[top]:
        # An empty map: `top: {}`, perhaps with a comment.
        lines[start] = _EMPTY.sub(r"\1", lines[start], count=1)
    if lines[start].split("#")[0].rstrip() != f"{top}:":
        raise ConfigError(f"params.yaml: write the map {top} as a block, one name a line")
    later = [document.lc.key(key)[0] for key in document if document.lc.key(key)[0] > start]
    end = _above(lines, min(later)) if later else len(lines)
    while end > start + 1 and not lines[end - 1].strip():
        end -= 1
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += end_of_line
    lines.insert(end, entry)
    return "".join(lines)
