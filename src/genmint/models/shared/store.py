"""Save and load models: weights as safetensors, all else as JSON. Nothing is pickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as safetensors_load
from safetensors.torch import save_file
from torch import Tensor

from genmint.common.errors import GenmintError
from genmint.common.files import sha256_bytes, sha256_file, write_json
from genmint.common.layout import CONFIG, WEIGHTS
from genmint.config import ModelConfig
from genmint.data.views.spec import DataSpec
from genmint.models.shared.families import FAMILIES
from genmint.models.shared.family import Family
from genmint.models.shared.record import ModelRecord, identity, load_record


def build(config: ModelConfig, spec: DataSpec) -> Family:
    """A new model on the CPU, with weights initialised from `config.seed`.

    Raises:
        ConfigError: the configuration does not fit the shape of the data.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return FAMILIES[config.family].create(config, spec)


def save(folder: Path, model: Family, record: dict[str, Any]) -> ModelRecord:
    """Write model.safetensors and config.json into the existing `folder`.

    Args:
        folder: a temporary folder that is renamed when complete, see `files.atomic_dir`.
        model: its weights are stored unchanged, from any device.
        record: name, model, data, prepared and resolved of a `ModelRecord`; other fields are added.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in _state(model).items()}
    save_file(weights, folder / WEIGHTS)
    full = ModelRecord(
        **record,
        identity=identity(record["model"], record["data"], record["prepared"], record["resolved"]),
        weights=sha256_file(folder / WEIGHTS),
    )
    write_json(folder / CONFIG, full.model_dump(mode="json"))
    return full


def load(folder: Path) -> tuple[Family, ModelRecord]:
    """Load a model on the CPU, in evaluation mode.

    Raises:
        GenmintError: a file is missing, damaged, or does not belong to this model.
    """
    record = load_record(folder)
    path = folder / WEIGHTS
    way_out = f"Restore it with `dvc checkout`, or run `dvc repro -f train@{record.name}`."
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise GenmintError(f"{path}: no such file. {way_out}") from None
    try:
        # Parse the same bytes that are hashed below, since the file may change between two reads.
        weights = safetensors_load(data)
    except (SafetensorError, ValueError) as error:
        raise GenmintError(f"{path}: damaged ({error}). {way_out}") from None
    model = build(record.model, record.data)
    _check_shapes(path, _state(model), weights, way_out)
    if sha256_bytes(data) != record.weights:
        raise GenmintError(f"{path}: not the weights that {CONFIG} names. {way_out}")
    model.load_state_dict(weights)
    model.eval()
    return model, record


def _state(model: Family) -> dict[str, Tensor]:
    return dict(model.state_dict())


def _check_shapes(
    path: Path, expected: dict[str, Tensor], tensors: dict[str, Tensor], way_out: str
) -> None:
    missing = sorted(set(expected) - set(tensors))
    surplus = sorted(set(tensors) - set(expected))
    if missing or surplus:
        problem = (
            f"lacks {missing[0]}" if missing else f"holds {surplus[0]}, which is not the model's"
        )
        raise GenmintError(f"{path}: {problem}. {way_out}")
    for name, value in expected.items():
        other = tensors[name]
        if other.shape != value.shape or other.dtype != value.dtype:
            raise GenmintError(
                f"{path}: {name} is {_described(other)}, and the model of {CONFIG} needs "
                f"{_described(value)}. {way_out}"
            )


def _described(value: Tensor) -> str:
    shape = "×".join(str(side) for side in value.shape) or "scalar"
    return f"{str(value.dtype).removeprefix('torch.')} {shape}"
