"""What differs between the gates that two versions were judged by, for the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genmint.errors import GenmintError, RegistryMissingError
from genmint.files import scratch_dir
from genmint.reading import read_yaml
from genmint.registered import Version
from genmint.registry import Registry
from genmint.tracking.provenance import flatten


def gate_changes(registry: Registry, earlier: Version, params: Path) -> str:
    """Say how the gate in `params` differs from the one that an earlier version was judged by.

    Args:
        registry: that has the version, with the params.yaml it was judged by.
        earlier: the version.
        params: params.yaml of the model that is promoted.

    Returns:
        Such as "its gate is another than that of version 1: thresholds.elbo.min -30.0 → -36.0";
        "" if there is no difference.

    Raises:
        RegistryUnreachableError: the registry does not answer.
    """
    with scratch_dir() as scratch:
        try:
            stored = registry.stored_params(earlier, scratch)
        except RegistryMissingError:
            # Its run was removed.
            stored = None
        if stored is None:
            return f"by which gate version {earlier.version} was judged is not known"
        try:
            before = _gate(stored, earlier.name)
        except GenmintError:
            return f"by which gate version {earlier.version} was judged cannot be read"
    after = _gate(params, earlier.name)
    changed = [
        f"{key} {before.get(key, 'none')} → {after.get(key, 'none')}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]
    if not changed:
        return ""
    return f"its gate is another than that of version {earlier.version}: {', '.join(changed)}"


def _gate(params: Path, name: str) -> dict[str, str]:
    """The gate of a model, flat: `thresholds.elbo.min` → "-30.0"."""
    content = read_yaml(params)
    gates: Any = content.get("gates") if isinstance(content, dict) else None
    gate = gates.get(name) if isinstance(gates, dict) else None
    return flatten(gate) if isinstance(gate, dict) else {}
