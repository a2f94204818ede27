"""The extractor of a data set: trained on the data set, or a named one beside a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genmint.common.errors import DataError
from genmint.common.files import sha256_file
from genmint.common.layout import EXTRACTOR
from genmint.common.project import Project
from genmint.config import ReferenceConfig
from genmint.config.datasets.protocol import OWN
from genmint.data.prepared import Prepared, Split
from genmint.data.stacking import single_labels
from genmint.evaluation.applicability import (
    BY_CLASS,
    Reasons,
    above_chance,
    by_feature,
    same_reason,
)
from genmint.evaluation.distance_names import own_features
from genmint.evaluation.extractor import (
    Extractor,
    ExtractorInfo,
    Task,
    number_of_classes,
    predict,
    save_extractor,
)
from genmint.evaluation.extractor_training import Examples, Subject, train_extractor
from genmint.evaluation.named.extractor import NamedExtractor
from genmint.evaluation.named.reference import named_extractor
from genmint.evaluation.reference import FrozenExtractor


def dataset_extractor(
    prepared: Prepared,
    grids: Mapping[Split, Tensor],
    config: ReferenceConfig,
    folder: Path,
    project: Project,
) -> tuple[Extractor | NamedExtractor, FrozenExtractor, Reasons]:
    """Write the extractor of a data set into `folder`.

    Args:
        prepared: data set of images or audio.
        grids: by split, its grids, uint8 N×C×H×W: train, validation and test.
        config: `reference` of its entry.
        folder: folder of the reference.
        project: project with the descriptions of named extractors.

    Returns:
        The extractor, its record in reference.json, and the metrics that are left out.

    Raises:
        ConfigError: the description of a named extractor is missing, invalid or incomplete.
        DataError: the accuracy is below `min_accuracy`, or weights cannot be fetched.
    """
    if config.extractor == OWN:
        own, info, reasons = _own_extractor(prepared, grids, config)
        save_extractor(folder, own, info)
        return own, _record(info.name, info, folder), reasons
    reasons, classifier = _classes_left_out(prepared), None
    if not reasons:
        own, info, reasons = _own_extractor(prepared, grids, config)
        classifier = (own, info) if info.task == "labels" else None
        reasons = {name: why for name, why in reasons.items() if name in BY_CLASS}
    named = named_extractor(project, prepared, config.extractor, classifier, folder)
    reasons[named.names.infinite] = (
        f"the extrapolation in {named.info.description.features} features would take hours"
    )
    about = None if classifier is None else classifier[1]
    return named, _record(config.extractor, about, folder), reasons


def _record(name: str, info: ExtractorInfo | None, folder: Path) -> FrozenExtractor:
    """Return the record of the extractor in `folder`; `info` is that of the classifier, if any."""
    return FrozenExtractor(
        name=name,
        task="named" if info is None else info.task,
        accuracy=None if info is None else info.accuracy,
        sha256=sha256_file(folder / EXTRACTOR),
    )


def _own_extractor(
    prepared: Prepared, grids: Mapping[Split, Tensor], config: ReferenceConfig
) -> tuple[Extractor, ExtractorInfo, Reasons]:
    """Train the extractor; return it with its description and the metrics that are left out.

    The tasks are tried in order until the accuracy is above chance.
    """
    meta, train, test = prepared.meta, grids["train"], grids["test"]
    reasons = _classes_left_out(prepared)
    tasks: list[Task] = ["rotation", "order"] if meta.kind == "image" else ["order"]
    if not reasons:
        tasks.insert(0, "labels")
    for task in tasks:
        extractor = _trained(prepared, grids, config, task)
        labels = _labels(prepared, "test") if task == "labels" else None
        predicted, truth = predict(extractor, test, labels, task)
        reached = float((predicted == truth).mean())
        if reached < config.min_accuracy:
            raise DataError(
                f"datasets.{meta.dataset}.reference: the extractor classifies {reached:.1%} of the "
                f"test split correctly ({task}), below min_accuracy {config.min_accuracy:.1%}; "
                "distances in its features would not be meaningful. "
                "Raise epochs, check the labels, or lower min_accuracy."
            )
        is_above_chance = above_chance(
            predicted, truth, truth.size if task == "labels" else len(test)
        )
        if is_above_chance:
            break
        problem = (
            f"the extractor classifies {reached:.1%} correctly ({task}), no better than chance"
        )
        if task == "labels":
            reasons = same_reason(BY_CLASS, f"the labels cannot be predicted: {problem}")
    if not is_above_chance:
        reasons |= same_reason(
            by_feature(meta.dataset), f"the features are not meaningful: {problem}"
        )
    info = ExtractorInfo(
        name=own_features(meta.dataset),
        task=task,
        shape=(train.shape[1], train.shape[2], train.shape[3]),
        classes=_answers(prepared, task),
        accuracy=reached,
        stacked=meta.stacked is not None,
        network="residual",
    )
    return extractor, info, reasons


def _answers(prepared: Prepared, task: Task) -> int:
    return number_of_classes(task, prepared.meta.stacked or prepared.meta.labels)


def _trained(
    prepared: Prepared, grids: Mapping[Split, Tensor], config: ReferenceConfig, task: Task
) -> Extractor:
    meta = prepared.meta

    def examples(split: Split) -> Examples:
        return Examples(grids[split], _labels(prepared, split) if task == "labels" else None)

    def show(line: str) -> None:
        print(f"{meta.dataset}: extractor ({task}): {line}", flush=True)  # noqa: T201 - progress

    # Always on the CPU: the same data then give the same file on machines of one kind.
    show(f"trains on the CPU, torch {torch.__version__}")
    try:
        return train_extractor(
            examples("train"),
            examples("validation"),
            Subject(
                task=task,
                classes=_answers(prepared, task),
                stacked=meta.stacked is not None,
                sound=meta.kind == "audio",
            ),
            epochs=config.epochs,
            seed=config.seed,
            report=show,
        )
    except DataError as error:
        raise DataError(f"datasets.{meta.dataset}: {error}") from None


def _classes_left_out(prepared: Prepared) -> Reasons:
    """Return the class metrics as left out if labels are missing or all equal; else nothing."""
    dataset, train_labels = prepared.meta.dataset, _labels(prepared, "train")
    if train_labels is None:
        return same_reason(BY_CLASS, f"datasets.{dataset} has no labels")
    for split, labels in (("training", train_labels), ("test", _labels(prepared, "test"))):
        assert labels is not None
        if len(labels.unique()) < 2:
            return same_reason(
                BY_CLASS,
                f"all items of the {split} split of datasets.{dataset} have one label, so there is "
                "nothing to distinguish; the set is treated as unlabelled",
            )
    return {}


def _labels(prepared: Prepared, split: Split) -> Tensor | None:
    """Return the targets of the extractor: one per item, or one per channel of a stack."""
    labels, meta = prepared.labels(split), prepared.meta
    if labels is None:
        return None
    if meta.stacked is not None:
        labels = single_labels(labels, len(meta.stacked), meta.shape[0])
    return torch.from_numpy(np.array(labels))
