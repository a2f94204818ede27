"""MNIST: idx files are what they say, and the test digits of the project are verified."""

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from tests.data.ingestion.test_pointers import LFS

from genmint.common.errors import DataError
from genmint.common.project import Project
from genmint.config import ImageDataset
from genmint.data.ingestion.mnist import read_idx
from genmint.data.ingestion.sources import open_source

SOURCES = Path(__file__).parents[3] / "data" / "sources"
IMAGES = "mnist-test/t10k-images-idx3-ubyte.gz"
LABELS = "mnist-test/t10k-labels-idx1-ubyte.gz"


def idx(values, kind=8):
    values = np.asarray(values, dtype=np.uint8)
    header = bytes([0, 0, kind, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.tobytes()


def test_idx_files_are_mapped(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "a").write_bytes(idx(values))
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), values)


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x00", idx([1, 2, 3])[:-1], idx([1, 2]) + b"x", idx([1, 2], kind=9)]
)
def test_what_is_no_idx_file_is_refused(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match="idx file"):
        read_idx(tmp_path / "a")


@pytest.fixture
def sources(tmp_path):
    """Copy of the description and its files, in a project."""
    folder = tmp_path / "data" / "sources"
    folder.mkdir(parents=True)
    shutil.copy(SOURCES / "mnist-test.yaml", folder)
    shutil.copytree(SOURCES / "mnist-test", folder / "mnist-test")
    (tmp_path / "params.yaml").write_text("{}\n")
    (tmp_path / "raw").mkdir()
    return folder


def opened(sources, labels="source"):
    path = "data/sources/mnist-test.yaml"
    dataset = ImageDataset(kind="image", path=path, resolution=28, labels=labels)
    return open_source(Project(sources.parents[1]), "digits", dataset)


def test_the_test_digits_belong_to_the_project_with_their_licence(sources):
    raw = sources.parents[1] / "raw"
    source = opened(sources)
    source.materialise(raw)
    assert sorted(path.name for path in raw.iterdir()) == [
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ]
    rows = [row for piece in source.items(raw).describe() for row in piece]
    assert len(rows) == 10_000
    assert {row["label"] for row in rows} == {str(digit) for digit in range(10)}
    assert {row["split"] for row in rows} == {None}
    assert sum(path.stat().st_size for path in (sources / "mnist-test").iterdir()) < 2_000_000
    assert "CC BY-SA 3.0" in (sources / "mnist-test" / "README.md").read_text()


def test_labels_are_left_out_where_the_entry_says_so(sources):
    raw = sources.parents[1] / "raw"
    source = opened(sources, labels="none")
    source.materialise(raw)
    rows = next(iter(source.items(raw).describe()))
    assert {row["label"] for row in rows} == {None}


@pytest.mark.parametrize("name", [IMAGES, LABELS])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "no such file; t10k-.* of the data set is stored there"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "cannot be unpacked: "),
        (lambda path: path.write_bytes(gzip.compress(b"others")), "wrong checksum: .* expected "),
    ],
    ids=["missing", "cut", "others"],
)
def test_a_damaged_file_is_named_with_the_way_out(sources, name, damage, message):
    damage(sources / name)
    with pytest.raises(DataError, match=message) as error:
        opened(sources).materialise(sources.parents[1] / "raw")
    assert str(error.value).startswith(f"{sources / name}: ")
    assert str(error.value).endswith(f"Restore it: `git checkout -- {sources / name}`.")
    assert "\n" not in str(error.value)
    # The file before it may be there: ingest writes the whole folder or nothing.
    assert Path(name).stem not in {path.name for path in (sources.parents[1] / "raw").iterdir()}


def test_a_pointer_is_named_with_the_command_that_fetches_the_file(sources):
    (sources / IMAGES).write_text(LFS)
    with pytest.raises(DataError, match=r"only a pointer of Git LFS to .* Run `git lfs pull`"):
        opened(sources).materialise(sources.parents[1] / "raw")
