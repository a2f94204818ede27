"""Descriptions of named extractors, data/sources/extractors/NAME.yaml."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from genmint.common.errors import ConfigError
from genmint.common.reading import read_yaml
from genmint.config.base import Frozen, PositiveFloat, PositiveInt, first_problem
from genmint.evaluation.distance_names import DistanceNames, distance_names

# Folder of the descriptions in a project. dvc.yaml has it as a dependency of `reference`.
DESCRIPTIONS = Path("data", "sources", "extractors")

Architecture = Literal["efficientnet-lite0", "dinov2", "inception-v3"]
Resize = Literal["bicubic", "bilinear", "tensorflow"]
_Three = tuple[float, float, float]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class NetworkInput(Frozen):
    """Preprocessing of an image.

    Attributes:
        side: height and width that the network takes, in pixels.
        resize: bicubic or bilinear (both with antialiasing, as Pillow), or tensorflow (bilinear
            without antialiasing and with the corner alignment of TensorFlow 1, as used for FID).
        mean: subtracted from each channel, whose values are 0 to 255.
        std: divides each channel afterwards.
    """

    side: Annotated[int, Field(ge=8, le=1024)]
    resize: Resize
    mean: _Three
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]


class WeightsFile(Frozen):
    """Where the weights come from.

    Attributes:
        name: name of the file.
        sha256: hash of the file; None in a description that the user has to complete.
        urls: download addresses, tried in order.
        mirror: path below the folder GENMINT_DATA_MIRROR, which is searched first.
        package: path of the file in an installed Python package, from the package's folder on.
        extra: extra of genmint that installs this package.
        format: safetensors, or state-dict: a pickled state dict of PyTorch. Its checksum is
            verified first, and it is read with `weights_only=True`, which runs no code.
        tensors_sha256: hash of the tensors after reading, see `weights.tensors_sha256`.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
    sha256: _Sha256 | None = None
    urls: tuple[str, ...] = ()
    mirror: str
    package: str | None = None
    extra: str | None = None
    format: Literal["safetensors", "state-dict"]
    tensors_sha256: _Sha256 | None = None


class ExtractorDescription(Frozen):
    """Content of data/sources/extractors/NAME.yaml.

    Attributes:
        architecture: network that the weights belong to.
        source: page of its publication.
        licence: licence of the weights.
        weights: file of the weights.
        input: preprocessing.
        features: number of features.
        metric: published name of its Fréchet distance, such as fid. It is used only if weights and
            preprocessing are the published ones.
    """

    architecture: Architecture
    source: str
    licence: str
    weights: WeightsFile
    input: NetworkInput
    features: PositiveInt
    metric: str | None = None


@dataclass(frozen=True)
class _Published:
    """What a published metric name stands for."""

    architecture: Architecture
    sha256: str
    input: NetworkInput
    names: DistanceNames


_PUBLISHED = (
    # Heusel et al. 2017, with the network of TensorFlow's 2015-12-05 release as torch-fidelity
    # converted it.
    _Published(
        "inception-v3",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        NetworkInput(
            side=299, resize="tensorflow", mean=(128.0, 128.0, 128.0), std=(128.0, 128.0, 128.0)
        ),
        DistanceNames("fid", "fid_infinite", "kid"),
    ),
    # Stein et al. 2023, who use ViT-L/14.
    _Published(
        "dinov2",
        "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
        NetworkInput(
            side=224,
            resize="bicubic",
            mean=(123.675, 116.28, 103.53),
            std=(58.395, 57.12, 57.375),
        ),
        DistanceNames("fd_dinov2", "fd_dinov2_infinite", "kernel_dinov2_l14"),
    ),
)
_RESERVED = {"own", "fid", "kid", "fd"}


def read_extractor_description(root: Path, name: str, key: str) -> ExtractorDescription:
    """Read the description of a named extractor.

    Args:
        root: folder of the project.
        name: name of the extractor.
        key: key of params.yaml that names it, for messages.

    Raises:
        ConfigError: there is no such description, or it is invalid or incomplete.
    """
    path = root / DESCRIPTIONS / f"{name}.yaml"
    if not path.is_file():
        folder = root / DESCRIPTIONS
        known = ", ".join(["own", *sorted(file.stem for file in folder.glob("*.yaml"))])
        raise ConfigError(f"{key}: there is no {DESCRIPTIONS / path.name}; known: {known}")
    try:
        description = ExtractorDescription.model_validate_json(json.dumps(read_yaml(path)))
    except ValidationError as error:
        where, problem = first_problem(error)
        raise ConfigError(f"{path}: {where}: {problem}") from None
    if description.weights.sha256 is None:
        raise ConfigError(
            f"{path}: weights.sha256 is missing: fill in the sha256 of the published file"
        )
    published = published_names(description)
    if _RESERVED & set(name.split("_")) and published is None:
        raise ConfigError(
            f"{path}: the name {name} is reserved for the published weights; rename the file"
        )
    return description


def published_names(description: ExtractorDescription) -> DistanceNames | None:
    """Return the published names of the distances; None if they must not be called so.

    They are used only if the description asks for them, and weights, network and preprocessing are
    the published ones.
    """
    for entry in _PUBLISHED:
        if (
            entry.names.frechet == description.metric
            and entry.architecture == description.architecture
            and entry.sha256 == description.weights.sha256
            and entry.input == description.input
        ):
            return entry.names
    return None


def names_of(name: str, description: ExtractorDescription) -> DistanceNames:
    """Return the names of the distances in the features of a named extractor."""
    return published_names(description) or distance_names(name)
