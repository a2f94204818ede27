"""JSON Schema of params.yaml, for editors; derived from the fields of the settings."""

from __future__ import annotations

import json
from typing import Any

from genmint.config.base import HIDDEN_FROM_DVC
from genmint.config.params import ENTRY_NAME, Params

# Path of the schema, relative to the root of the repository.
SCHEMA_FILE = "config/params.schema.json"

# DVC's run-cache ignores keys with these names, so maps must not contain them.
_ALLOWED_KEY = {"not": {"enum": sorted(HIDDEN_FROM_DVC)}}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of params.yaml.

    Data sets are a union by `kind`, models by `family`. Every object rejects unknown keys. The
    schema does not contain checks across keys, such as those of a gate against its model.
    `genmint doctor` runs those.
    """
    schema = _without_titles(Params.model_json_schema())
    for entries in schema["properties"].values():
        entries["propertyNames"] = {"pattern": ENTRY_NAME, **_ALLOWED_KEY}
    schema["$defs"]["Gate"]["properties"]["thresholds"]["propertyNames"] = _ALLOWED_KEY
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "params.yaml of genmint",
        **schema,
    }


def schema_text() -> str:
    """Return the content of the file `SCHEMA_FILE`."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def _without_titles(node: Any) -> Any:
    """Return a schema without the titles that pydantic derives from key and class names."""
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without_titles(value)
        for key, value in node.items()
        if key != "title" or not isinstance(value, str)
    }
