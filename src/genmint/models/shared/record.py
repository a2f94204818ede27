"""Read and check config.json, the record stored with a model's weights.

This module does not import torch, which takes seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from genmint.common.errors import GenmintError
from genmint.common.files import read_json, sha256_json
from genmint.common.layout import CONFIG
from genmint.config import AnyModel, Frozen, ModelConfig
from genmint.config.base import from_json
from genmint.data.views.spec import DataSpec

# Keys that `identity` is the hash of.
_IDENTIFIED = ("model", "data", "prepared", "resolved")


class ModelRecord(Frozen):
    """Contents of config.json: the description of a model without its weights.

    Attributes:
        format: version of this layout.
        name: of the model entry in params.yaml.
        model: the model entry.
        data: description of the data that the model depends on.
        prepared: sha256 of the prepared data set.
        resolved: values that `auto` settings took on the machine of the training run.
        identity: sha256 over model, data, prepared and resolved, which define the weights.
        weights: sha256 of model.safetensors.
    """

    format: Literal[1] = 1
    name: str
    model: AnyModel
    data: DataSpec
    prepared: str
    resolved: dict[str, str]
    identity: str
    weights: str


def identity(config: ModelConfig, spec: DataSpec, prepared: str, resolved: dict[str, str]) -> str:
    """Hash of all inputs that define a model's weights, without paths, logging and host names."""
    return sha256_json(
        {
            "model": config.model_dump(mode="json"),
            "data": spec.model_dump(mode="json"),
            "prepared": prepared,
            "resolved": resolved,
        }
    )


def load_record(folder: Path) -> ModelRecord:
    """Read config.json without the weights.

    Raises:
        GenmintError: the file is missing, damaged, changed since it was written, or of a format
            that this version does not support.
    """
    path = folder / CONFIG
    name = folder.name
    raw = read_json(path, f"Run `dvc repro train@{name}` to make it.")
    if not isinstance(raw, dict) or raw.get("format") != 1:
        version = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
        raise GenmintError(
            f"{path}: format {version!r}, where this version reads 1. "
            f"Run `dvc repro -f train@{name}`, or use the version of genmint that wrote it."
        )
    way_out = f"Restore it with `dvc checkout`, or run `dvc repro -f train@{name}`."
    record = from_json(ModelRecord, raw, path, way_out)
    # The hash covers the raw JSON, since a default that this version adds does not change the
    # file. The check precedes the construction of the network, because edited settings could
    # need any amount of memory.
    if record.identity != sha256_json({key: raw[key] for key in _IDENTIFIED}):
        raise GenmintError(f"{path}: changed since it was written. {way_out}")
    return record
