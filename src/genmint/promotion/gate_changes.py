"""Differences between the gates of two versions, for the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genmint.common.errors import GenmintError
from genmint.common.files import scratch_dir
from genmint.common.project import Project
from genmint.common.reading import read_yaml
from genmint.registry.registry import Registry
from genmint.registry.versions import Version
from genmint.tracking.provenance import flatten


def gate_changes(registry: Registry, earlier: Version, params: Path) -> str:
    """Describe how the gate in `params` differs from the gate of an earlier version.

    Args:
        registry: registry that holds the version and the params.yaml of its gate.
        earlier: the earlier version.
        params: params.yaml of the model that is promoted.

    Returns:
        For example "its gate is another than that of version 1: thresholds.elbo.min -30.0 → -36.0";
        "" if there is no difference.

    Raises:
        RegistryUnreachableError: the registry does not answer.
    """
    with scratch_dir() as scratch:
        evaluation = registry.evaluation(earlier, scratch)
        if evaluation is None or not Project(evaluation).params.is_file():
            return f"the gate that judged version {earlier.version} is not known"
        try:
            before = flat_entry(Project(evaluation).params, "gates", earlier.name)
        except GenmintError:
            return f"the gate that judged version {earlier.version} cannot be read"
    after = flat_entry(params, "gates", earlier.name)
    changed = [
        f"{key} {before.get(key, 'none')} → {after.get(key, 'none')}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]
    if not changed:
        return ""
    return f"its gate differs from that of version {earlier.version}: {', '.join(changed)}"


def flat_entry(params: Path, section: str, name: str) -> dict[str, str]:
    """Return an entry of params.yaml with flattened keys: `thresholds.elbo.min` → "-30.0".

    It is empty if there is no such entry.

    Raises:
        ConfigError: the file is missing or is not YAML.
    """
    content = read_yaml(params)
    entries: Any = content.get(section) if isinstance(content, dict) else None
    entry = entries.get(name) if isinstance(entries, dict) else None
    return flatten(entry) if isinstance(entry, dict) else {}
