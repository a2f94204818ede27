"""A named extractor with the interface of a data set's own extractor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from genmint.common.errors import DataError
from genmint.common.files import read_json
from genmint.common.layout import EXTRACTOR, EXTRACTOR_CONFIG
from genmint.config.base import Frozen, PositiveInt, from_json
from genmint.evaluation.distance_names import DistanceNames
from genmint.evaluation.extractor import (
    Extractor,
    ExtractorInfo,
    load_extractor,
    save_extractor,
    selected_grids,
)
from genmint.evaluation.named.description import ExtractorDescription, names_of
from genmint.evaluation.named.dinov2 import DinoV2
from genmint.evaluation.named.efficientnet_lite import EfficientNetLite0
from genmint.evaluation.named.inception import InceptionV3
from genmint.evaluation.named.preprocessing import preprocess
from genmint.evaluation.stored_network import remedy, save_network

# Images that are processed at a time, regardless of the protocol's batch size. Larger parts leave
# the processor's cache: 32 images of 224×224 take more than twice as long per image.
_PART = 8
# Folder of the data set's own classifier, which the metrics of classes use.
_CLASSIFIER = "classifier"

_State = dict[str, Tensor]
_BUILDERS: dict[str, Callable[[_State], nn.Module]] = {
    "efficientnet-lite0": lambda state: EfficientNetLite0(),
    "dinov2": DinoV2.of,
    "inception-v3": lambda state: InceptionV3(),
}


class NamedExtractorInfo(Frozen):
    """extractor.json of a named extractor.

    Attributes:
        name: name of the extractor, the suffix of its metrics' names.
        shape: (C, H, W) of the data set's images.
        description: description that the weights were fetched by.
    """

    name: str
    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    description: ExtractorDescription


class NamedExtractor:
    """Features of a published network, and class probabilities of the data set's own classifier.

    Args:
        network: the network, whose result are its features, N×D.
        info: name, shape and description.
        classifier: own extractor of the data set, trained on its labels; None without labels.

    Attributes:
        extrapolates: as of `Extractor`; in so many features it would take hours.
        pool: as of `Extractor`; an image takes some 30 ms.
    """

    extrapolates: ClassVar[bool] = False
    pool: ClassVar[int] = 2000

    def __init__(
        self, network: nn.Module, info: NamedExtractorInfo, classifier: Extractor | None
    ) -> None:
        self.network = network
        self.info = info
        self.classifier = classifier

    @property
    def names(self) -> DistanceNames:
        """Names of the distances in these features."""
        return names_of(self.info.name, self.info.description)

    @torch.no_grad()
    def features(self, grids: Tensor) -> npt.NDArray[np.float64]:
        """Return the features of images, uint8 N×C×H×W; float64 N×D, as the network gives them.

        Raises:
            DataError: the number of features is not that of the description.
        """
        wanted = self.info.description.input
        rows = torch.cat([self.network(preprocess(part, wanted)) for part in grids.split(_PART)])
        if rows.shape[1] != self.info.description.features:
            raise DataError(
                f"extractor {self.info.name}: the network has {rows.shape[1]} features, and its "
                f"description says {self.info.description.features}"
            )
        features: npt.NDArray[np.float64] = rows.to(torch.float64).numpy()
        return features

    def features_at(self, sets: Sequence[Tensor], rows: Tensor) -> npt.NDArray[np.float64]:
        """Return the features of selected images of several sets; copies one batch at a time.

        Args:
            sets: images, uint8 N×C×H×W each; indexed as if they were concatenated.
            rows: indices of the selected images, int64 M.
        """
        chosen = selected_grids(sets, rows, _PART)
        return np.concatenate([self.features(part) for part in chosen])

    def probabilities(self, grids: Tensor) -> npt.NDArray[np.float64]:
        """Return the class probabilities of the data set's own classifier, float64 N×K."""
        assert self.classifier is not None
        return self.classifier.probabilities(grids)

    def probabilities_at(self, sets: Sequence[Tensor], rows: Tensor) -> npt.NDArray[np.float64]:
        """Return the class probabilities of selected images of several sets."""
        assert self.classifier is not None
        return self.classifier.probabilities_at(sets, rows)


def build_network(description: ExtractorDescription, state: _State) -> nn.Module:
    """Return the network of a description with these tensors.

    Raises:
        DataError: the tensors belong to another network.
    """
    try:
        with torch.device("meta"):
            network = _BUILDERS[description.architecture](state)
        counters = [n for n in network.state_dict() if n.endswith("num_batches_tracked")]
        steps = {name: torch.tensor(0) for name in counters}
        network.load_state_dict({**state, **steps}, assign=True)
    except (RuntimeError, KeyError, ValueError) as error:
        first = " ".join(str(error).split())[:200]
        raise DataError(
            f"{description.weights.name}: not the weights of {description.architecture}: {first}"
        ) from None
    return network.eval().requires_grad_(False)


def save_named_extractor(
    folder: Path,
    state: _State,
    info: NamedExtractorInfo,
    classifier: tuple[Extractor, ExtractorInfo] | None,
) -> None:
    """Write extractor.safetensors, extractor.json and the folder of the classifier, if any."""
    save_network(folder, state, info)
    if classifier is not None:
        (folder / _CLASSIFIER).mkdir(exist_ok=True)
        save_extractor(folder / _CLASSIFIER, *classifier)


def load_any_extractor(
    folder: Path,
) -> tuple[Extractor | NamedExtractor, ExtractorInfo | NamedExtractorInfo]:
    """Read the extractor of a data set's reference: its own, or a named one.

    Raises:
        GenmintError: a file is missing.
        DataError: a file is damaged, or the weights belong to another network.
    """
    way_out = remedy(folder)
    path = folder / EXTRACTOR_CONFIG
    raw = read_json(path, way_out)
    if not isinstance(raw, dict) or "description" not in raw:
        return load_extractor(folder)
    info = from_json(NamedExtractorInfo, raw, path, way_out, DataError)
    try:
        state = load_file(folder / EXTRACTOR)
    except FileNotFoundError:
        raise DataError(f"{folder / EXTRACTOR}: no such file. {way_out}") from None
    except SafetensorError as error:
        raise DataError(f"{folder / EXTRACTOR}: damaged ({error}). {way_out}") from None
    network = build_network(info.description, state)
    kept = folder / _CLASSIFIER
    classifier = load_extractor(kept, way_out)[0] if kept.is_dir() else None
    return NamedExtractor(network, info, classifier), info
