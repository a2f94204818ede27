"""What a window is tested on: items of each kind, and clips that belong together."""

import re

import numpy as np
import pandas as pd
import pytest
from tests.stages.conftest import DataProject, data_project

from genmint.config import load_params
from genmint.data import manifest
from genmint.data.ingestion.sources import open_source
from genmint.data.prepared import Prepared
from genmint.drift import baseline, source_items
from genmint.drift.baseline import DriftBaseline
from genmint.drift.columns import Untested
from genmint.evaluation.extractor import ExtractorInfo, save_extractor
from genmint.evaluation.extractor_training import Examples, Subject, train_extractor
from genmint.stages import prepare, reference

__all__ = ["data_project"]


@pytest.fixture
def sounds(data_project):
    """Sixty recordings of four clips each, prepared, with an extractor of their grids."""
    data_project.block(kind="audio", sample_rate=8000, seconds=0.125, windows="all",
                       validation=0.2, test=0.2, confirmation=0.0)  # fmt: skip
    data_project.sounds(60, seconds=0.5)
    data_project.run()
    prepared = Prepared(data_project.project.prepared("own"))
    spec = prepared.spec("grid")
    from genmint.data.views import tensors

    grids = tensors.load(prepared, "train", spec)
    items = Examples(grids, None)
    extractor = train_extractor(items, items, Subject("order", 2, sound=True), epochs=1, seed=0)
    info = ExtractorInfo(
        name="own_cnn",
        task="order",
        shape=tuple(grids.shape[1:]),
        classes=2,
        accuracy=0.5,
        network="residual",
    )
    folder = data_project.project.reference("own")
    folder.mkdir(parents=True)
    save_extractor(folder, extractor, info)
    return data_project


def learned(project: DataProject, folder) -> DriftBaseline:
    folder.mkdir()
    baseline._extract(project.project, "own", folder)
    loaded = [np.load(folder / f"{name}.npy") for name in ("features", "groups")]
    return DriftBaseline(manifest.read(folder / "items.parquet").to_pandas(), *loaded, folder)


def rows_of(project):
    block = load_params(project.project.params).datasets["own"]
    columns = manifest.column_names(project.project.manifest("own"))
    table = prepare.entering(project.project, "own", block, columns).to_pandas()
    items = open_source(project.project, "own", block).items(project.project.raw("own"))
    return block, table, items


def test_clips_of_a_recording_are_one_group(sounds, tmp_path):
    known = learned(sounds, tmp_path / "baseline")
    prepared = Prepared(sounds.project.prepared("own"))
    held_out = prepared.meta.items["validation"] + prepared.meta.items["test"]
    assert len(known.features) == len(known.groups) == held_out
    assert set(np.unique(known.groups, return_counts=True)[1]) == {4}
    # The rows of a group are the clips of that row of the manifest.
    block, table, items = rows_of(sounds)
    clips = items.load([table["path"][known.groups[0]]], [table["sha256"][known.groups[0]]])
    split = "validation" if prepared.meta.items["validation"] else "test"
    assert (prepared.array(split)[:4] == clips).all()
    assert block.kind == "audio"


def test_a_window_of_recordings_is_tested_by_columns_and_distance(sounds, tmp_path):
    known = learned(sounds, tmp_path / "baseline")
    block, table, items = rows_of(sounds)
    settings = {"alpha": 0.05, "max_categories": 50}
    findings, untested = source_items.compare_window(known, table[:30], items, block, **settings)
    names = [finding.name for finding in findings]
    assert names[-1] == "frechet_own_cnn"
    assert {"peak", "rms", "bytes"} & {*names, *(each.name for each in untested)}
    assert ("windows", "always 4") in {(each.name, each.reason) for each in untested}
    # Grids of another shape have no place in that space, and the record says so.
    other = block.model_copy(update={"seconds": 0.25})
    items = open_source(sounds.project, "own", other).items(sounds.project.raw("own"))
    table = table.assign(windows=2)
    findings, untested = source_items.compare_window(known, table[:30], items, other, **settings)
    assert not any(finding.name.startswith("frechet") for finding in findings)
    assert untested[-1].reason.startswith("grids of 1×32×")


def test_text_is_tested_by_its_columns(data_project):
    data_project.block(kind="text", split="hash")
    data_project.texts(40, words=50)
    data_project.ingest()
    data_project.admit()
    block, table, items = rows_of(data_project)
    known = DriftBaseline(table.assign(characters=table["characters"] * 3), None, None, None)
    findings, untested = source_items.compare_window(
        known, table, items, block, alpha=0.01, max_categories=50
    )
    found = {finding.name: finding.p for finding in findings}
    assert found["characters"] < 1e-6
    # Of a reference without a network, made before texts had one.
    assert "run `dvc repro`" in untested[-1].reason


def sentence(rng):
    nouns, verbs = ["dog", "tree", "house", "river", "stone"], ["sees", "finds", "passes"]
    return f"the {rng.choice(nouns)} {rng.choice(verbs)} a {rng.choice(nouns)}."


def shuffled(text, rng):
    """The same words and spaces, and so the same characters and lines, in random order."""
    parts = re.split(r"(\s+)", text)
    words = [parts[::2][k] for k in rng.permutation(len(parts[::2]))]
    return "".join(a + b for a, b in zip(words, [*parts[1::2], ""], strict=True))


@pytest.fixture
def texts(data_project, tmp_path):
    """Ninety documents that were learned, and forty more that arrived since."""
    rng = np.random.default_rng(0)
    folder = data_project.folder
    folder.mkdir(parents=True, exist_ok=True)
    block = {"kind": "text", "split": "hash", "near_duplicates": 1.0, "validation": 0.2,
             "test": 0.2, "confirmation": 0.0, "protocol": {"samples": 8}}  # fmt: skip
    data_project.block(**block)
    for number in range(90):
        (folder / f"{number}.txt").write_text(" ".join(sentence(rng) for _ in range(12)))
    data_project.run()
    reference.run(data_project.project, load_params(data_project.project.params), "own")
    known = learned(data_project, tmp_path / "baseline")

    def arrive(change):
        fresh = np.random.default_rng(2)
        for number in range(40):
            text = " ".join(sentence(fresh) for _ in range(12))
            (folder / f"new-{number}.txt").write_text(change(text))
        data_project.ingest()
        data_project.admit()
        block, table, items = rows_of(data_project)
        new = table[table["path"].str.startswith("new-")]
        return source_items.compare_window(known, new, items, block, alpha=0.01, max_categories=50)

    return arrive


def test_shuffled_words_are_a_drift_that_no_column_sees(texts):
    rng = np.random.default_rng(1)
    findings, _ = texts(lambda text: shuffled(text, rng))
    found = {finding.name: finding.p for finding in findings}
    assert found.pop("frechet_own_rnn") < 0.01 / 6
    assert min(found.values()) > 0.01


def test_more_texts_of_the_same_kind_are_no_drift(texts):
    findings, _ = texts(lambda text: text)
    assert {finding.name: finding.p for finding in findings}["frechet_own_rnn"] > 0.05


def test_too_few_documents_are_not_tested():
    assert source_items._too_few(np.arange(3), np.arange(1), 0.002) == Untested(
        "frechet",
        "3 held-out and 1 new items are too few: no difference between them could be significant",
    )
    assert source_items._too_few(np.arange(30), np.arange(10), 0.002) is None


def test_windows_are_cut_by_chance_and_what_is_left_waits():
    """A folder sorted by class: windows in that order would hold one class each."""
    table = pd.DataFrame(
        {"sha256": [f"{(k * 7919) % 1000:064d}" for k in range(100)], "label": range(100)}
    )
    windows, waiting = source_items.cut_windows(table, {table["sha256"][0]}, 30)
    assert ([len(window) for window in windows], waiting) == ([30, 30, 30], 9)
    labels = [np.array(window["label"]) for window in windows]
    assert all(part.min() < 40 and part.max() > 60 for part in labels)
    again, _ = source_items.cut_windows(
        table.sample(frac=1.0, random_state=1), {table["sha256"][0]}, 30
    )
    assert [list(a["sha256"]) for a in again] == [list(w["sha256"]) for w in windows]
