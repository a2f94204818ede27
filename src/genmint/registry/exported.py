"""Folders that `genmint export` writes: their manifest, and loading of the model in them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.escaping import printable
from genmint.common.files import read_json, sha256_file
from genmint.common.gate_verdict import failures, has_failed, is_dry_run
from genmint.common.layout import CONFIG, WEIGHTS
from genmint.common.project import RELATIVE
from genmint.config import Frozen
from genmint.config.base import from_json
from genmint.models.shared import store
from genmint.registry.loaded_model import LoadedModel

# In the folder of an exported model.
MANIFEST = "manifest.json"
GATE = "gate.json"
# Files that loading reads; the others are for people, who may edit them.
_READ = (WEIGHTS, CONFIG, GATE)


class Manifest(Frozen):
    """Content of manifest.json.

    Attributes:
        format: version of this layout.
        name: name of the registered model.
        version: number of the version.
        weights: sha256 of model.safetensors.
        genmint: version of genmint that wrote the folder.
        files: sha256 of every other file, by path relative to the folder.
    """

    format: Literal[1] = 1
    name: str
    version: str
    weights: str
    genmint: str
    files: dict[str, str]


def load_export(folder: Path, *, allow_refused: bool) -> LoadedModel:
    """Load the model of an exported folder, after comparing its files with the manifest.

    The comparison finds damage. It does not prove who wrote the folder, since nothing in it is
    signed; no code in it is run.

    Raises:
        ConfigError: `folder` is not a folder that `genmint export` wrote.
        GenmintError: a file is missing or not the one that was exported; or its gate failed and
            `allow_refused` is false.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder. Write NAME@champion for a registered model.")
    if not (folder / MANIFEST).is_file():
        raise ConfigError(
            f"{folder}: no {MANIFEST}, so it is not a folder that `genmint export` wrote"
        )
    way_out = "Export the version again."
    raw = read_json(folder / MANIFEST, way_out)
    manifest = from_json(Manifest, raw, folder / MANIFEST, way_out)
    for name in _READ:
        path = folder / name
        if not path.is_file():
            raise GenmintError(f"{path}: no such file. {way_out}")
        if sha256_file(path) != manifest.files.get(name):
            raise GenmintError(f"{path}: not the file that was exported. {way_out}")
    module, record = store.load(folder)
    if (record.name, record.weights) != (manifest.name, manifest.weights):
        raise GenmintError(f"{folder / MANIFEST}: names another model than {CONFIG}. {way_out}")
    _refuse_failed(folder, manifest, allow_refused=allow_refused)
    return LoadedModel(module, record, manifest.version)


def _refuse_failed(folder: Path, manifest: Manifest, *, allow_refused: bool) -> None:
    raw = read_json(folder / GATE, "Export the version again.")
    gate = raw if isinstance(raw, dict) else {}
    problem = f"it failed its gate ({failures(gate)})" if has_failed(gate) else None
    if problem is None and _gated(gate, manifest.name) != manifest.weights:
        problem = f"{GATE} decided on other weights"
    shown = printable(f"{folder}: {manifest.name}/{manifest.version}: {problem}")
    if problem is None and is_dry_run(gate):
        shown = f"{folder}: {manifest.name}/{manifest.version}: its gate was in dry-run"
    elif problem is None:
        return
    elif not allow_refused and not is_dry_run(gate):
        raise GenmintError(
            f"{shown}. Export another version; to load this one all the same, pass "
            "allow_refused=True."
        )
    print(shown, file=sys.stderr, flush=True)  # noqa: T201 - the user must see it


def _gated(gate: dict[str, object], name: str) -> str | None:
    """Return the hash of the weights that a gate record decided on."""
    file = (RELATIVE.model(name) / WEIGHTS).as_posix()
    evidence = gate.get("evidence")
    for item in evidence if isinstance(evidence, list) else []:
        if isinstance(item, dict) and item.get("file") == file:
            return str(item.get("sha256"))
    return None
