"""Baseline of a drift check: the data that models were last trained on."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genmint.common.dvc_config import has_remote
from genmint.common.dvc_lock import hashes, parse_lock
from genmint.common.errors import ConfigError, DataError, GenmintError
from genmint.common.files import atomic_dir, read_json, sha256_json, write_json
from genmint.common.layout import EXTRACTOR, EXTRACTOR_CONFIG, PARAMS
from genmint.common.programs import file_at, git, run_dvc
from genmint.common.project import RELATIVE, Project
from genmint.config import (
    AudioDataset,
    Dataset,
    ImageDataset,
    TextDataset,
    load_params,
    parse_params,
)
from genmint.data import manifest
from genmint.data.arrays import load_array
from genmint.data.prepared import SPLITS, Prepared
from genmint.data.views import tensors
from genmint.drift.features import Features, Groups
from genmint.drift.state import DriftStore
from genmint.drift.text_features import held_out_documents
from genmint.evaluation.named.extractor import load_any_extractor
from genmint.evaluation.text_network import load_text_network
from genmint.flow.checkout import checked_out
from genmint.flow.committed import text_at
from genmint.stages import prepare

# Branches with results of the flow `retrain`, local and fetched.
_PUBLISHED = ("refs/heads/retrain", "refs/remotes/*/retrain/**")
# Maximum number of branches to search, newest first; older ones are assumed to hold older data.
_BRANCHES = 50
_STAGES = ("ingest", "validate", "prepare", "reference")
# Splits that the extractor was not trained on. Features of its training items are distributed
# differently from those of new items, even without drift.
_HELD_OUT = tuple(split for split in SPLITS if split != "train")


@dataclass(frozen=True)
class Origin:
    """Commit whose dvc.lock identifies the training data.

    Attributes:
        commit: full hash.
        key: hash over the hashes of manifest, quarantine, prepared set and reference.
    """

    commit: str
    key: str


@dataclass(frozen=True)
class DriftBaseline:
    """Items that models were trained on.

    Attributes:
        items: manifest rows of the items.
        features: features of the held-out items (text: passages), float64 N×D; None for a text
            whose reference is of an older version of genmint.
        groups: for each row of the features, the item that it was cut from; None as above.
        reference: folder with the extractor, of text with the network; None as above.
    """

    items: pd.DataFrame
    features: Features | None
    groups: Groups | None
    reference: Path | None


def find_origin(home: Project, dataset: str, commit: str) -> Origin | None:
    """Return the most recent training data known to git; None if there are none.

    The candidates are `commit` and the branches retrain/*. The one is chosen whose data entered the
    history last. A later training run on older data therefore does not replace newer data.

    Raises:
        GenmintError: git fails, or a dvc.lock is damaged.
    """
    lock = home.lock.name
    listed = git(home, "for-each-ref", "--sort=-committerdate", f"--count={_BRANCHES}",
                 "--format=%(objectname)", *_PUBLISHED).split()  # fmt: skip
    tips = list(dict.fromkeys([commit, *listed]))
    stage_hashes: dict[str, tuple[str, str]] = {}
    for tip in tips:
        outs = _outs(home, tip, lock, dataset)
        if outs is not None:
            stage_hashes.setdefault(
                outs[RELATIVE.manifest(dataset).as_posix()], (tip, sha256_json(outs))
            )
    if not stage_hashes:
        return None
    came = {digest: _came(home, tips, lock, digest) for digest in stage_hashes}
    # Ties within a second follow the order of the tips: the commit, then the newest branch.
    latest = max(
        stage_hashes, key=lambda digest: (came[digest], -tips.index(stage_hashes[digest][0]))
    )
    return Origin(*stage_hashes[latest])


def load(home: Project, origin: Origin, dataset: str) -> DriftBaseline:
    """Return the baseline from the drift store of an earlier check, or from the DVC cache.

    Raises:
        GenmintError: neither the DVC cache nor the remote has it.
        DataError: the stored files are damaged.
    """
    store = DriftStore(home, dataset)
    folder = store.folder / "baseline"
    about = folder / "about.json"
    if not about.exists() or read_json(about).get("key") != origin.key:
        with checked_out(home, origin.commit, f"drift-{dataset}") as checkout:
            _restore(checkout, dataset, origin)
            with atomic_dir(folder) as temporary:
                _extract(checkout, dataset, temporary)
                write_json(temporary / "about.json", {"key": origin.key, "commit": origin.commit})
    items = manifest.read(folder / "items.parquet").to_pandas()
    if not (folder / "features.npy").exists():
        return DriftBaseline(items, None, None, None)
    features, groups = (
        load_array(
            folder / f"{name}.npy", f"Remove {folder}: the next drift check writes it again."
        )
        for name in ("features", "groups")
    )
    return DriftBaseline(items, features, groups, folder)


def block(home: Project, origin: Origin, dataset: str) -> Dataset | None:
    """Return the data set entry that the data were prepared with, from dvc.lock.

    The entry in the commit's params.yaml may have been changed without running DVC. None if the
    entry has keys of another genmint version.

    Raises:
        GenmintError: git fails, or dvc.lock is damaged.
    """
    lock = home.lock.name
    entries = parse_lock(text_at(home, origin.commit, lock), f"{origin.commit[:12]}:{lock}")
    used = entries[f"prepare@{dataset}"].get("params", {}).get(PARAMS, {})
    blocks = {dataset: used.get(f"datasets.{dataset}")}
    document = json.dumps({"datasets": blocks, "models": {}, "gates": {}})
    try:
        return parse_params(document, Path(lock)).datasets[dataset]
    except ConfigError:
        return None


def _outs(home: Project, tip: str, lock: str, dataset: str) -> dict[str, str] | None:
    """Return the hash of each output of the data set's stages; None if a stage did not run."""
    text = file_at(home, tip, lock)
    if text is None:
        return None
    entries = parse_lock(text, f"{tip[:12]}:{lock}")
    outs: dict[str, str] = {}
    for stage in _STAGES:
        entry = entries.get(f"{stage}@{dataset}")
        if entry is None:
            return None
        outs |= hashes(entry, "outs")
    return outs


def _came(home: Project, tips: list[str], lock: str, digest: str) -> int:
    """Return when a manifest first entered the history of any tip, in seconds since 1970."""
    times = git(home, "log", "--format=%ct", "-S", digest, *tips, "--", lock).split()
    return int(times[-1]) if times else 0


def _restore(checkout: Project, dataset: str, origin: Origin) -> None:
    """Restore manifest, quarantine, prepared set and reference from the DVC cache or remote."""
    wanted = [
        checkout.manifest(dataset),
        checkout.quarantine(dataset),
        checkout.prepared(dataset),
        checkout.reference(dataset),
    ]
    paths = [str(path.relative_to(checkout.root)) for path in wanted]
    run_dvc(checkout, "checkout", "--quiet", "--allow-missing", *paths)
    if all(path.exists() for path in wanted):
        return
    way_out = (
        f"what the models learned of {dataset} (commit {origin.commit[:12]}) is not in DVC's cache"
    )
    if not has_remote(checkout.root):
        raise GenmintError(
            f"{way_out}, and there is no remote. Run `dvc repro reference@{dataset}`."
        )
    try:
        run_dvc(checkout, "pull", "--quiet", *paths)
    except GenmintError as error:
        raise GenmintError(f"{way_out}, and the remote does not give it: {error}") from None


def _extract(checkout: Project, dataset: str, folder: Path) -> None:
    """Write the inputs of drift checks: manifest rows, held-out features, and the extractor."""
    import pyarrow.parquet as pq

    block = load_params(checkout.params).datasets[dataset]
    columns = manifest.column_names(checkout.manifest(dataset))
    table = prepare.entering(checkout, dataset, block, columns)
    pq.write_table(table, folder / "items.parquet", compression="zstd")
    prepared = Prepared(checkout.prepared(dataset))
    held_out = [split for split in _HELD_OUT if prepared.meta.items.get(split)]
    reference = checkout.reference(dataset)
    if isinstance(block, TextDataset):
        if not (reference / EXTRACTOR).exists():  # made by an older version of genmint
            return
        network, _ = load_text_network(reference)
        features, groups = held_out_documents(prepared, network, held_out)
        _store(folder, reference, features, groups)
        return
    extractor, _ = load_any_extractor(reference)
    spec = prepared.spec("grid")
    features = np.concatenate(
        [extractor.features(tensors.load(prepared, split, spec)) for split in held_out]
    )
    groups = _groups(checkout, dataset, block)
    if len(groups) != len(features):
        raise DataError(
            f"{prepared.path}: holds {len(features)} held-out items where the manifest gives "
            f"{len(groups)}. Run `dvc repro -f prepare@{dataset}`."
        )
    _store(folder, reference, features, groups)


def _store(folder: Path, reference: Path, features: Features, groups: Groups) -> None:
    np.save(folder / "features.npy", features)
    np.save(folder / "groups.npy", groups)
    for name in (EXTRACTOR_CONFIG, EXTRACTOR):
        shutil.copyfile(reference / name, folder / name)


def _groups(checkout: Project, dataset: str, block: ImageDataset | AudioDataset) -> Groups:
    """Return the manifest item of each held-out row, in the order of the arrays."""
    table = prepare.entering(checkout, dataset, block)
    plan = prepare.plan_of(dataset, table, block, {})
    owners = np.repeat(np.arange(len(table), dtype=np.int64), plan.counts)
    return np.concatenate([owners[plan.splits == SPLITS.index(split)] for split in _HELD_OUT])
