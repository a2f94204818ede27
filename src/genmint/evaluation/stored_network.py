"""The network of a reference as files: extractor.safetensors and extractor.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genmint.common.errors import DataError
from genmint.common.files import atomic_path, read_json, write_json
from genmint.common.layout import EXTRACTOR, EXTRACTOR_CONFIG
from genmint.config.base import Frozen, from_json

Network = TypeVar("Network", bound=nn.Module)
Info = TypeVar("Info", bound=Frozen)


def remedy(reference: Path) -> str:
    """Return the sentence that tells how to make the files of a reference again."""
    return f"Run `dvc repro -f reference@{reference.name}`."


def save_network(folder: Path, state: Mapping[str, Tensor], info: Frozen) -> None:
    """Write extractor.safetensors and extractor.json into `folder`."""
    tensors = {name: value.contiguous() for name, value in state.items()}
    with atomic_path(folder / EXTRACTOR) as temporary:
        save_file(tensors, temporary)
    write_json(folder / EXTRACTOR_CONFIG, info.model_dump(mode="json"))


def load_network(
    folder: Path,
    way_out: str,
    described_by: type[Info],
    build: Callable[[Info], Network],
) -> tuple[Network, Info]:
    """Read the files of `save_network`; the network is in evaluation mode, without gradients.

    Args:
        folder: folder with the two files.
        way_out: sentence that ends each error.
        described_by: model of the content of extractor.json.
        build: makes the network that a description belongs to.

    Raises:
        GenmintError: extractor.json is missing or not JSON.
        DataError: extractor.json has other content; or the weights are missing or damaged, or
            belong to another network.
    """
    described = folder / EXTRACTOR_CONFIG
    raw = read_json(described, way_out)
    info = from_json(described_by, raw, described, way_out, DataError)
    path = folder / EXTRACTOR
    try:
        # On the meta device no memory is allocated: a damaged file may state far too large sizes.
        with torch.device("meta"):
            network = build(info)
        network.load_state_dict(load_file(path), assign=True)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file. {way_out}") from None
    except (SafetensorError, RuntimeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"{path}: not the expected network ({first}). {way_out}") from None
    return network.eval().requires_grad_(False), info
