"""The reference of a data set of text: its network, baselines and noise floors."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from genmint.common.errors import DataError
from genmint.common.files import sha256_file
from genmint.common.layout import EXTRACTOR
from genmint.config import Protocol, ReferenceConfig
from genmint.data.prepared import Prepared
from genmint.data.views import tensors
from genmint.evaluation.applicability import (
    Reasons,
    above_chance,
    same_reason,
    words_left_out,
)
from genmint.evaluation.baselines import merged, sequence_baselines, trigram_scores
from genmint.evaluation.codecs import sequence_codecs
from genmint.evaluation.distance_names import distance_names, text_features
from genmint.evaluation.fitness import text_fitness, unfit
from genmint.evaluation.judge import text_judge
from genmint.evaluation.noise_floor import share_floors
from genmint.evaluation.reference import FrozenExtractor, Reference, check_extractor
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
from genmint.metrics.resampling import evenly_spaced
from genmint.metrics.words import as_text


def text_reference(
    prepared: Prepared, protocol: Protocol, config: ReferenceConfig, folder: Path
) -> Reference:
    """Return the reference of a text, and write its network into `folder`.

    Raises:
        DataError: the training text is a single character, or the accuracy of the network is below
            `min_accuracy`.
    """
    length = protocol.text_length
    spec = prepared.spec("sequence")
    stream = tensors.load(prepared, "validation", spec).numpy()
    _refuse_single_character(prepared)
    judge = text_judge(prepared)
    network, extractor, meaningless = _trained(prepared, config, folder)
    reasons = words_left_out(judge.test_text) | meaningless
    distances = text_distances(prepared.meta.dataset, network, judge.test, protocol)
    too_few = distances.why_not(protocol.samples, stream)
    names = (distances.names.frechet, distances.names.kernel)
    if too_few is not None:
        reasons |= same_reason(names, too_few)
    judge = dataclasses.replace(
        judge, left_out=reasons, distances=None if names[0] in reasons else distances
    )
    pieces = stream[: len(stream) // length * length].reshape(-1, length)
    texts = [as_text(piece, spec) for piece in pieces]
    floors = share_floors(
        lambda rows: judge.quality([texts[i] for i in rows]),
        len(texts),
        protocol.samples,
        seed=protocol.seed,
    )
    chosen = evenly_spaced(len(pieces), protocol.samples)
    unseen = pieces[chosen]
    real = judge.quality([texts[i] for i in chosen]) | judge.feature_distances(unseen)
    if judge.distances is not None:
        floors |= judge.distances.floors(stream, protocol.samples, seed=protocol.seed)
    values, graded = text_fitness(judge, pieces, spec, protocol.samples, protocol.seed)
    return Reference(
        dataset=prepared.meta.dataset,
        data=prepared.sha256,
        protocol=protocol,
        extractor=extractor,
        baselines=merged(
            sequence_baselines(prepared),
            sequence_codecs(prepared),
            trigram_scores(judge, spec, protocol),
        ),
        noise_floor=floors,
        real=real | judge.memorisation(unseen),
        left_out=reasons,
        unfit=unfit(values, graded, floors),
    )


def _refuse_single_character(prepared: Prepared) -> None:
    # One of at most two distinct tokens is the document boundary.
    if len(np.unique(prepared.array("train"))) <= 2:
        raise DataError(
            f"datasets.{prepared.meta.dataset}: the training text repeats a single character: "
            "nothing can be learnt"
        )


def _trained(
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
    check_extractor(folder, reference)
    return network
