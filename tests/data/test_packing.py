"""Packing: what goes in comes out, hashes are true, and memory stays what it was."""

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from genmint.common.errors import DataError
from genmint.common.files import sha256_bytes, sha256_file
from genmint.config import ImageDataset, TextDataset
from genmint.data import packing
from genmint.data.ingestion.items import ArrayItems, ArrayPart
from genmint.data.ingestion.readers import ImageReader, TextReader
from genmint.data.packing import ArrayWriter, PackingPlan, Segment
from genmint.data.prepared import SPLITS

DATASET = ImageDataset(kind="image", path="x", resolution=8)


def plan_of(rows, where, labels=None):
    return PackingPlan(
        pa.chunked_array([[f"pixels#{number}" for number in range(len(rows))]]),
        pa.chunked_array([[sha256_bytes(row.tobytes()) for row in rows]]),
        np.asarray(where, dtype=np.int8),
        None if labels is None else np.asarray(labels, dtype=np.int64),
        np.ones(len(rows), dtype=np.int64),
    )


def items_of(rows, size=8):
    reader = ImageReader(ImageDataset(kind="image", path="x", resolution=size))
    return ArrayItems((ArrayPart("pixels", rows, None, None),), reader)


# Line ends and the byte order mark are changed on reading, surrogates cannot be written.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\r\ufeff")
pictures = arrays.arrays(np.uint8, st.tuples(st.integers(3, 40), st.just(8), st.just(8)))


@settings(max_examples=40, deadline=None)
@given(rows=pictures, data=st.data())
def test_items_come_back_in_order_with_their_labels(tmp_path_factory, rows, data):
    folder = tmp_path_factory.mktemp("packed")
    where = data.draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows)))
    labels = np.arange(len(rows))
    plan = plan_of(rows, where, labels)
    files = packing.pack_items(folder, plan, items_of(rows), (1, 8, 8), "|u1")
    for number, split in enumerate(SPLITS):
        kept = np.flatnonzero(np.asarray(where) == number)
        array = np.load(folder / f"{split}.npy", allow_pickle=False)
        np.testing.assert_array_equal(array[:, 0], rows[kept])
        np.testing.assert_array_equal(np.load(folder / f"{split}.labels.npy"), labels[kept])
        assert plan.items()[split] == len(kept)
    assert files == {path.name: sha256_file(path) for path in folder.iterdir()}


@settings(max_examples=40, deadline=None)
@given(
    text=st.text(CHARACTERS, min_size=3),
    data=st.data(),
)
def test_texts_come_back_from_tokens(tmp_path_factory, text, data):
    folder = tmp_path_factory.mktemp("packed")
    document = folder / "document.txt"
    document.write_text(text, encoding="utf-8", newline="")
    cut = st.integers(0, len(text))
    cuts = sorted(data.draw(st.tuples(*[cut] * (len(SPLITS) - 1))))
    borders = [0, *cuts, len(text)]
    segments = {
        split: [Segment(document, borders[n], borders[n + 1])] for n, split in enumerate(SPLITS)
    }
    vocabulary = packing.vocabulary_of([Segment(document, 0, len(text))], 1)
    packing.pack_text(folder, segments, vocabulary)
    back = ""
    for number, split in enumerate(SPLITS):
        tokens = np.load(folder / f"{split}.npy", allow_pickle=False)
        assert tokens[0] == 1
        assert np.load(folder / f"{split}.offsets.npy").tolist() == [0, len(tokens)]
        back += "".join(vocabulary[token] for token in tokens[1:])
        assert len(tokens) == 1 + borders[number + 1] - borders[number]
    assert back == text


def test_a_file_as_numpy_would_have_written_it(tmp_path):
    values = np.arange(24, dtype=np.int16).reshape(6, 4)
    writer = ArrayWriter(tmp_path / "ours.npy", (6, 4), "<i2")
    writer.write(values[:1])
    writer.write(values[1:])
    digest = writer.close()
    np.save(tmp_path / "theirs.npy", values)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()
    assert digest == sha256_file(tmp_path / "ours.npy")


@pytest.mark.parametrize("rows", [2, 4])
def test_fewer_or_more_rows_than_announced_are_an_error(tmp_path, rows):
    writer = ArrayWriter(tmp_path / "short.npy", (3, 2), "|u1")
    writer.write(np.zeros((rows, 2)))
    with pytest.raises(DataError, match=rf"short\.npy: {rows} rows instead of 3"):
        writer.close()


def test_more_characters_than_16_bits_can_number_are_an_error(tmp_path):
    many = "".join(chr(code) for code in range(0x10000, 0x10000 + 2**16))
    (tmp_path / "many.txt").write_text(many)
    with pytest.raises(DataError, match=r"65536 distinct characters.*raise min_count"):
        packing.vocabulary_of([Segment(tmp_path / "many.txt", 0, len(many))], 1)


def peak_of(action):
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_packing_images_takes_no_more_memory_for_more_of_them(tmp_path):
    def peak(count):
        path = tmp_path / f"{count}.npy"
        np.save(path, np.random.default_rng(0).integers(0, 256, (count, 64, 64), dtype=np.uint8))
        rows = np.load(path, mmap_mode="r")
        plan = plan_of(rows, np.arange(count) % 3)
        folder = tmp_path / f"packed-{count}"
        folder.mkdir(exist_ok=True)
        items = items_of(rows, size=64)
        return peak_of(lambda: packing.pack_items(folder, plan, items, (1, 64, 64), "|u1"))

    peak(1100)  # the first time, imports count
    small, large = peak(1100), peak(11_000)
    grown_data = (11_000 - 1100) * 64 * 64
    assert large - small < grown_data / 50


def test_packing_a_text_takes_no_more_memory_for_a_longer_one(tmp_path):
    def peak(repeats):
        document = tmp_path / f"{repeats}.txt"
        document.write_text("All work and no play makes Jack a dull boy. " * repeats)
        length = 44 * repeats
        segments = {split: [Segment(document, 0, length)] for split in SPLITS}
        folder = tmp_path / f"packed-{repeats}"
        folder.mkdir(exist_ok=True)

        def action():
            TextReader(TextDataset(kind="text", path="x")).describe(document)
            vocabulary = packing.vocabulary_of(segments["train"], 1)
            packing.pack_text(folder, segments, vocabulary)

        return peak_of(action)

    peak(20_000)
    small, large = peak(20_000), peak(200_000)
    assert large - small < 44 * 180_000 / 50


def test_a_document_that_vanished_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.txt"):
        packing.vocabulary_of([Segment(Path(tmp_path / "gone.txt"), 0, 3)], 1)


def test_items_that_are_not_as_many_as_announced_are_an_error(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    plan = dataclasses.replace(plan_of(rows, [0, 1, 2, 0, 0]), counts=np.array([1, 1, 1, 2, 1]))
    with pytest.raises(DataError, match="5 items instead of 6: the manifest was made with"):
        packing.pack_items(tmp_path, plan, items_of(rows), (1, 8, 8), "|u1")


def test_a_row_that_is_not_there_is_named(tmp_path):
    rows = np.zeros((5, 8, 8), dtype=np.uint8)
    with pytest.raises(DataError, match=r"pixels#5: is gone since"):
        items_of(rows).load(["pixels#4", "pixels#5"], [sha256_bytes(bytes(64))] * 2)
