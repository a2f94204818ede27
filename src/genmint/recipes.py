"""Putting a recipe's blocks into params.yaml without touching a byte of what stands there."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from genmint.config import parse_params
from genmint.errors import ConfigError
from genmint.files import write_text
from genmint.project import Project

_MAPS = ("datasets", "models", "gates")


def list_recipes(project: Project) -> list[tuple[str, str]]:
    """Name and first comment line of each file in recipes/."""
    found = []
    for path in sorted((project.root / "recipes").glob("*.yaml"), key=lambda path: path.stem):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        found.append((path.stem, first.lstrip("# ")))
    return found


def add_recipe(project: Project, name: str) -> list[str]:
    """Insert the blocks of recipes/NAME.yaml at the end of their maps in params.yaml.

    A block that stands there already and says the same is left alone (two recipes may share a data
    set).

    Returns:
        The keys that were added, such as `models.mnist-vae`.

    Raises:
        ConfigError: no such recipe; a block of that name says something else; the result would
            not be a valid params.yaml (nothing is written then).
    """
    source = project.root / "recipes" / f"{name}.yaml"
    if not source.is_file():
        known = [recipe for recipe, _ in list_recipes(project)]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
        raise ConfigError(f"recipes/{name}.yaml: no such file; {hint}")
    text = project.params.read_text(encoding="utf-8")
    here, there = _load(project.params), _load(source)
    recipe_blocks = _blocks(source)
    added = []
    for top in _MAPS:
        for block, value in (there.get(top) or {}).items():
            standing = (here.get(top) or {}).get(block)
            if standing == value:
                continue
            if standing is not None:
                raise ConfigError(
                    f"params.yaml: {top}.{block} is there already and differs from "
                    f"recipes/{name}.yaml; rename or remove one of them"
                )
            text = _insert(text, top, recipe_blocks[top, block])
            added.append(f"{top}.{block}")
    if not added:
        raise ConfigError(f"params.yaml has everything of recipes/{name}.yaml already")
    parse_params(text, project.params)
    write_text(project.params, text)
    return added


def _load(path: Path) -> Any:
    from ruamel.yaml import YAML

    return YAML().load(path.read_text(encoding="utf-8"))


def _blocks(path: Path) -> dict[tuple[str, str], str]:
    """Text of each block of a recipe, with the comments above and in it, by map and name."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    document = _load(path)
    starts: list[tuple[int, str, str | None]] = []
    for top in document:
        starts.append((document.lc.key(top)[0], top, None))
        starts.extend((document[top].lc.key(name)[0], top, name) for name in document[top])
    starts.sort()
    ends = [_above(lines, line) for line, _, _ in starts[1:]] + [len(lines)]
    return {
        (top, name): "".join(lines[_above(lines, line) : end]).strip("\n") + "\n"
        for (line, top, name), end in zip(starts, ends, strict=True)
        if name is not None
    }


def _above(lines: list[str], line: int) -> int:
    """First line of the comment that stands directly above `line`."""
    indent = len(lines[line]) - len(lines[line].lstrip())
    while line > 0 and lines[line - 1].startswith(" " * indent + "#"):
        line -= 1
    return line


def _insert(text: str, top: str, block: str) -> str:
    """Put `block` behind the last line of the map `top`."""
    from ruamel.yaml import YAML

    lines = text.splitlines(keepends=True)
    document: Any = YAML().load(text)
    if not document or top not in document:
        return text.rstrip("\n") + f"\n\n{top}:\n{block}"
    start = document.lc.key(top)[0]
    if not document[top]:
        lines[start] = f"{top}:\n"
    elif lines[start].split("#")[0].rstrip() != f"{top}:":
        raise ConfigError(f"params.yaml: write the map {top} as a block, one name a line")
    later = [document.lc.key(key)[0] for key in document if document.lc.key(key)[0] > start]
    end = _above(lines, min(later)) if later else len(lines)
    while end > start + 1 and not lines[end - 1].strip():
        end -= 1
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += "\n"
    lines.insert(end, block)
    return "".join(lines)
