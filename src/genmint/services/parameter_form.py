"""Schemas of flow parameters that Prefect's pages show as fields to fill in.

Prefect's form (seen in 3.8.8) has no field for a map that may be null, and none for a choice of
names in a list that may be null. Its server accepts null for a parameter of one type that has no
default, so the type alone says the same and has a field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from genmint.common.dvc_lock import DATASET_STAGES, MODEL_STAGES
from genmint.common.errors import GenmintError
from genmint.common.layout import PARAMS
from genmint.common.reading import read_yaml

# Keys of a parameter's schema: which names it takes, how they are called, and what no name means.
_MARKS = "genmint."
_NAMES = _MARKS + "names"
_CALLED = _MARKS + "called"
_NONE = _MARKS + "none"


def _names(kind: str, called: str, none: str) -> Any:
    return Field(json_schema_extra={_NAMES: kind, _CALLED: called, _NONE: none})


ModelNames = Annotated[list[str] | None, _names("models", "models", "All")]
DatasetNames = Annotated[list[str] | None, _names("datasets", "data sets", "None")]
WatchedNames = Annotated[list[str] | None, _names("drift", "data sets", "All")]
StageVerbs = Annotated[list[str] | None, _names("stages", "stages", "None")]


def names_to_choose(root: Path) -> dict[str, list[str]]:
    """Return the names that a project's flows take, by kind; those of params.yaml if it is valid.

    Returns:
        Names of "models", "datasets", data sets under "drift", and verbs of "stages".
    """
    names = {"stages": [*DATASET_STAGES, *MODEL_STAGES]}
    try:
        content = read_yaml(root / PARAMS)
    except (GenmintError, OSError):
        # Stages report it; a deployment does not depend on it.
        return names
    for kind in ("models", "datasets", "drift"):
        entries = content.get(kind) if isinstance(content, dict) else None
        names[kind] = [str(name) for name in entries] if isinstance(entries, dict) else []
    return names


def with_fields(schema: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the schema of a flow's parameters with a field of Prefect's form for each of them.

    Args:
        schema: schema as Prefect makes it from the flow's signature.
        names: names to choose from, by kind. A name that only another revision has can be typed.
    """
    properties = schema.get("properties", {})
    return {
        **schema,
        "properties": {name: _with_field(each, names) for name, each in properties.items()},
    }


def _with_field(parameter: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    field = {key: value for key, value in parameter.items() if not key.startswith(_MARKS)}
    choices = names.get(parameter.get(_NAMES, ""))
    if choices:
        field.pop("default", None)
        return field | {"anyOf": _choice(choices, parameter[_CALLED], parameter[_NONE])}
    types: list[dict[str, Any]] = [
        each for each in field.get("anyOf", []) if each != {"type": "null"}
    ]
    if len(types) == 1 and "type" in types[0] and field.get("default", ...) is None:
        del field["anyOf"], field["default"]
        return types[0] | field
    return field


def _choice(choices: Sequence[str], called: str, none: str) -> list[dict[str, Any]]:
    listed = {"type": "string", "enum": list(choices)}
    return [
        {"title": called, "type": "array", "items": listed},
        {"title": "other names", "type": "array", "items": {"type": "string"}},
        {"title": none, "type": "null"},
    ]
