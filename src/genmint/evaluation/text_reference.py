"""The reference network of a data set of text: training, checks and baselines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from genmint.common.errors import DataError
from genmint.common.files import sha256_file
from genmint.common.layout import EXTRACTOR
from genmint.config import Protocol, ReferenceConfig
from genmint.data.prepared import Prepared
from genmint.data.views import tensors
from genmint.evaluation.applicability import Reasons, above_chance, same_reason
from genmint.evaluation.distance_names import distance_names, text_features
from genmint.evaluation.reference import REFERENCE, FrozenExtractor, Reference
from genmint.evaluation.text_distances import TextDistances
from genmint.evaluation.text_network import (
    PASSAGE,
    TextNetwork,
    TextNetworkInfo,
    TokenIds,
    load_text_network,
    save_text_network,
)
from genmint.evaluation.text_network_training import train_text_network


def text_extractor(
    prepared: Prepared, config: ReferenceConfig, folder: Path
) -> tuple[TextNetwork, FrozenExtractor, Reasons]:
    """Train the reference network of a text and write it into `folder`.

    Returns:
        The network, its record in reference.json, and the metrics that are left out because it
        predicts characters no better than chance.

    Raises:
        DataError: its accuracy is below `min_accuracy`.
    """
    dataset = prepared.meta.dataset
    spec = prepared.spec("sequence")
    assert spec.symbols is not None
    train = tensors.load(prepared, "train", spec).numpy()
    test = tensors.load(prepared, "test", spec).numpy()
    # Always on the CPU: the same data then give the same file on any machine.
    print(  # noqa: T201 - names the device first
        f"{dataset}: the reference network trains on the CPU, 1 thread, torch {torch.__version__}",
        flush=True,
    )
    network = train_text_network(train, spec.symbols, epochs=config.epochs, seed=config.seed)
    predicted, truth = network.predictions(test), test[1:]
    reached = float((predicted == truth).mean())
    if reached < config.min_accuracy:
        raise DataError(
            f"datasets.{dataset}.reference: the reference network predicts {reached:.1%} of the "
            f"characters of the test split, below min_accuracy {config.min_accuracy:.1%}; "
            "distances in its features would not be meaningful. Raise epochs, or lower "
            "min_accuracy."
        )
    reasons: Reasons = {}
    if not above_chance(predicted, truth, max(1, len(test) // PASSAGE)):
        names = distance_names(text_features(dataset))
        reasons = same_reason(
            (names.frechet, names.kernel),
            f"the features are not meaningful: the reference network predicts {reached:.1%} of "
            "the characters, no better than chance",
        )
    info = TextNetworkInfo(
        name=text_features(dataset), vocabulary=spec.vocabulary or (), accuracy=reached
    )
    save_text_network(folder, network, info)
    record = FrozenExtractor(
        name=info.name,
        task="next_character",
        accuracy=reached,
        sha256=sha256_file(folder / EXTRACTOR),
    )
    return network, record, reasons


def text_distances(
    dataset: str, network: TextNetwork, test: TokenIds, protocol: Protocol
) -> TextDistances:
    """Return the distances of a text to its held-out text."""
    names = distance_names(text_features(dataset))
    return TextDistances(names, network, test.astype(np.int64), protocol.text_length)


def recorded_network(folder: Path, reference: Reference) -> TextNetwork | None:
    """Return the network that a reference names; None for one of an older version of genmint.

    Raises:
        DataError: the network is damaged or not the one that the reference names.
    """
    if reference.extractor is None:
        return None
    network, _ = load_text_network(folder)
    path = folder / EXTRACTOR
    if sha256_file(path) != reference.extractor.sha256:
        raise DataError(
            f"{path}: not the network that {REFERENCE} names. "
            f"Run `dvc repro -f reference@{folder.name}`."
        )
    return network
