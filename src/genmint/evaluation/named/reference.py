"""The named extractor of a data set of images: weights, network and record."""

from __future__ import annotations

from pathlib import Path

from genmint.common.layout import STATE
from genmint.common.project import Project
from genmint.data.prepared import Prepared
from genmint.evaluation.extractor import Extractor, ExtractorInfo
from genmint.evaluation.named.description import published_names, read_extractor_description
from genmint.evaluation.named.extractor import (
    NamedExtractor,
    NamedExtractorInfo,
    build_network,
    save_named_extractor,
)
from genmint.evaluation.named.weights import fetch_weights

# Folder of downloaded weights in the state of a project.
_CACHE = "extractors"


def named_extractor(
    project: Project,
    prepared: Prepared,
    name: str,
    classifier: tuple[Extractor, ExtractorInfo] | None,
    folder: Path,
) -> NamedExtractor:
    """Fetch the weights of a named extractor and write them into a reference.

    Args:
        project: project with the descriptions; downloads are kept in the state of its home.
        prepared: data set of images.
        name: name of the extractor.
        classifier: own extractor of the data set, trained on its labels.
        folder: folder of the reference.

    Raises:
        ConfigError: there is no such description, or it is invalid or incomplete.
        DataError: the weights cannot be fetched, or are not those of the description.
    """
    dataset, shape = prepared.meta.dataset, prepared.spec("grid").shape
    key = f"datasets.{dataset}.reference.extractor"
    description = read_extractor_description(project.root, name, key)
    tensors = fetch_weights(description, project.home / STATE / _CACHE)
    network = build_network(description, tensors)
    info = NamedExtractorInfo(
        name=name, shape=(shape[0], shape[1], shape[2]), description=description
    )
    save_named_extractor(folder, tensors, info, classifier)
    if description.metric is not None and published_names(description) is None:
        print(  # noqa: T201 - tells why the name of the metric is another one
            f"{dataset}: {name} has not the published weights and preprocessing of "
            f"{description.metric}, so its distance is called frechet_{name}"
        )
    return NamedExtractor(network, info, None if classifier is None else classifier[0])
