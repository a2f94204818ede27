"""Reading of a source for a drift check: validation, new items, and tests of windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from genmint.common.errors import DataError
from genmint.common.project import Project
from genmint.config import Dataset, Params, TextDataset
from genmint.data import manifest, quarantine
from genmint.data.ingestion.final_reader import final_reader
from genmint.data.ingestion.items import Items
from genmint.data.ingestion.locate import source_path
from genmint.data.ingestion.sources import open_source
from genmint.data.views.spectrogram import to_grid
from genmint.drift.baseline import DriftBaseline
from genmint.drift.columns import DriftTest, Untested, compare_columns
from genmint.drift.features import Features, Groups, frechet_drift
from genmint.drift.source import Place
from genmint.drift.text_features import new_documents
from genmint.evaluation.named.extractor import load_any_extractor
from genmint.evaluation.text_network import load_text_network
from genmint.flow.adoption import fetch_source
from genmint.flow.kept_reports import keep_validation
from genmint.stages import ingest, prepare, validate

_SHOWN = 20


@dataclass(frozen=True)
class SourceItems:
    """Valid items of a source.

    Attributes:
        table: manifest rows of the valid items.
        items: loader of the items.
        quarantined: `id: reason` of quarantined items that no model was trained on.
    """

    table: pd.DataFrame
    items: Items
    quarantined: tuple[str, ...]


def read_items(
    checkout: Project, params: Params, name: str, place: Place, known: set[str], kept: Path
) -> SourceItems:
    """Run ingest and validate in a checkout, without changing the user's files.

    Args:
        checkout: checkout of the commit whose settings apply.
        params: settings of that commit.
        name: name of the data set.
        place: location of its source.
        known: sha256 of the items of the baseline.
        kept: folder for quarantine list and page of a set that fails, since the checkout is
            removed.

    Raises:
        DataError: the source is missing or unreadable, or fails validation by Great Expectations.
        ConfigError: data set entry and suite do not match the data.
    """
    block = params.datasets[name].model_copy(update={"path": place.path})
    params = params.model_copy(update={"datasets": {**params.datasets, name: block}})
    if not Path(place.path).is_absolute():
        fetch_source(checkout, source_path(checkout, name, place.path))
    ingest.run(checkout, params, name)
    try:
        validate.run(checkout, params, name)
    except DataError as error:
        raise DataError(keep_validation(checkout, name, kept, str(error))) from None
    columns = manifest.column_names(checkout.manifest(name))
    table = prepare.entering(checkout, name, block, columns).to_pandas()
    items = open_source(checkout, name, block).items(checkout.raw(name))
    if not isinstance(block, TextDataset):
        items = items.read_by(final_reader(name, block, checkout.manifest(name)))
    return SourceItems(table, items, _newly_quarantined(checkout, name, known))


def cut_windows(table: pd.DataFrame, known: set[str], size: int) -> tuple[list[pd.DataFrame], int]:
    """Divide new items into windows of `size` items; the remainder waits.

    Items are sorted by hash, which is a random order. Files that arrive together are often sorted
    by content, so windows in their order could differ although the whole does not.

    Returns:
        Rows of each window, and the number of new items that do not fill a window yet.
    """
    new = table[~table["sha256"].isin(known)].sort_values("sha256", kind="stable")
    whole = len(new) // size
    windows = [new.iloc[k * size : (k + 1) * size] for k in range(whole)]
    return windows, len(new) - whole * size


def compare_window(
    baseline: DriftBaseline,
    rows: pd.DataFrame,
    items: Items,
    dataset: Dataset,
    *,
    alpha: float,
    max_categories: int,
) -> tuple[list[DriftTest], list[Untested]]:
    """Test a window: every column of the manifest, and the distance in feature space.

    Raises:
        DataError: an item changed since it was ingested, or its shape does not match the extractor.
    """
    seed = int(rows["sha256"].iloc[0][:8], 16)
    group = dataset.group_column
    findings, untested = compare_columns(
        baseline.items,
        rows,
        leave_out=[] if group is None else [group],
        max_categories=max_categories,
        seed=seed,
    )
    if baseline.features is None or baseline.groups is None or baseline.reference is None:
        reason = (
            "the reference is of an older version of genmint, without a network for text: run "
            "`dvc repro`"
        )
        return findings, [*untested, Untested("frechet", reason)]
    window = _window_features(baseline.reference, rows, items, dataset)
    if isinstance(window, Untested):
        return findings, [*untested, window]
    level = alpha / (len(findings) + 1)
    few = _too_few(baseline.groups, window.owners, level)
    if few is not None:
        return findings, [*untested, few]
    distance = frechet_drift(
        baseline.features,
        window.features,
        groups=(baseline.groups, window.owners),
        level=level,
        seed=seed,
        name=f"frechet_{window.name}",
    )
    return [*findings, distance], untested


@dataclass(frozen=True)
class _WindowFeatures:
    """Features of a window, the item of each row, and the name of the features."""

    features: Features
    owners: Groups
    name: str


def _window_features(
    reference: Path, rows: pd.DataFrame, items: Items, dataset: Dataset
) -> _WindowFeatures | Untested:
    """Return the features of the items of a window, or why there are none.

    Raises:
        DataError: an item changed since it was ingested.
    """
    if isinstance(dataset, TextDataset):
        network, about = load_text_network(reference)
        documents = new_documents(rows, items, network, about.vocabulary)
        return _WindowFeatures(*documents, about.name)
    extractor, info = load_any_extractor(reference)
    loaded = items.load(list(rows["path"]), list(rows["sha256"]))
    grids = torch.from_numpy(np.ascontiguousarray(loaded))
    if dataset.kind == "audio":
        grids = to_grid(grids, dataset.spectrogram, dataset.sample_rate)
    if tuple(grids.shape[1:]) != info.shape:
        shown = ["×".join(map(str, shape)) for shape in (tuple(grids.shape[1:]), info.shape)]
        return Untested("frechet", f"grids of {shown[0]}, not {shown[1]}")
    counts = rows["windows"].to_numpy() if "windows" in rows.columns else 1
    owners = np.repeat(np.arange(len(rows)), np.zeros(len(rows), dtype=np.int64) + counts)
    return _WindowFeatures(extractor.features(grids), owners, info.name)


def _too_few(known: Groups, new: Groups, level: float) -> Untested | None:
    """Return why no p-value can reach `level`; None if it can.

    The items can be divided into two parts in so many ways, and a p-value is a share of them.
    """
    counts = [len(np.unique(groups)) for groups in (known, new)]
    if math.comb(sum(counts), counts[1]) * level >= 1:
        return None
    return Untested(
        "frechet",
        f"{counts[0]} held-out and {counts[1]} new items are too few: no difference between them "
        "could be significant",
    )


def _newly_quarantined(checkout: Project, name: str, known: set[str]) -> tuple[str, ...]:
    columns = ["id", "sha256"]
    hashes = {
        row["id"]: row["sha256"]
        for row in manifest.read(checkout.manifest(name), columns).to_pylist()
    }
    listed = quarantine.read(checkout.quarantine(name))
    new = [f"{item.id}: {item.reason}" for item in listed if hashes[item.id] not in known]
    return _first(new)


def _first(reasons: Sequence[str]) -> tuple[str, ...]:
    more = len(reasons) - _SHOWN
    return (*reasons[:_SHOWN], f"and {more} more") if more > 0 else tuple(reasons)
