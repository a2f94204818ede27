"""What stands beside a model's weights: config.json. Read without torch, which takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from genmint.config import Frozen
from genmint.config.base import from_json
from genmint.config.models import ModelConfig
from genmint.data.spec import DataSpec
from genmint.errors import GenmintError
from genmint.files import read_json, sha256_json

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
# What `identity` is the hash of.
_IDENTIFIED = ("model", "data", "prepared", "resolved")


class ModelRecord(Frozen):
    """config.json: what a model is, apart from its weights.

    Attributes:
        format: version of this layout.
        name: of the block in params.yaml.
        model: the block itself.
        data: what the model knows of its data.
        prepared: sha256 of the prepared data set.
        resolved: what `auto` settings became on the machine that trained it.
        identity: sha256 over model, data, prepared and resolved: what defines the weights.
        weights: sha256 of model.safetensors.
    """

    format: Literal[1] = 1
    name: str
    model: ModelConfig
    data: DataSpec
    prepared: str
    resolved: dict[str, str]
    identity: str
    weights: str


def identity(config: ModelConfig, spec: DataSpec, prepared: str, resolved: dict[str, str]) -> str:
    """Hash of what defines a model's weights: paths, logging and machines' names are not in it."""
    return sha256_json(
        {
            "model": config.model_dump(mode="json"),
            "data": spec.model_dump(mode="json"),
            "prepared": prepared,
            "resolved": resolved,
        }
    )


def load_record(folder: Path) -> ModelRecord:
    """Read config.json alone.

    Raises:
        GenmintError: missing, damaged, changed since it was written, or of a format that this
            version does not know.
    """
    path = folder / CONFIG
    name = folder.name
    raw = read_json(path, f"Run `dvc repro train@{name}` to make it.")
    if not isinstance(raw, dict) or raw.get("format") != 1:
        found = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
        raise GenmintError(
            f"{path}: format {found!r}, where this version reads 1. "
            f"Run `dvc repro -f train@{name}`, or use the version of genmint that wrote it."
        )
    way_out = f"Restore it with `dvc checkout`, or run `dvc repro -f train@{name}`."
    record = from_json(ModelRecord, raw, path, way_out)
    # As it was written: a default that this version adds is no change of the file. A network of
    # settings that nobody trained may need any amount of memory.
    if record.identity != sha256_json({key: raw[key] for key in _IDENTIFIED}):
        raise GenmintError(f"{path}: changed since it was written. {way_out}")
    return record
