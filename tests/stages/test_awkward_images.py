"""Every awkward image of tests/awkward/images.py: what enters, what does not, and why."""

import csv

import numpy as np
import pytest

from awkward import images
from genmint.config import ImageDataset
from genmint.data.ingestion.final_reader import final_reader
from genmint.data.ingestion.readers import ImageReader
from genmint.data.prepared import Prepared

SPLIT = {"validation": 0.2, "test": 0.2, "confirmation": 0.0}
SETTINGS = {"kind": "image", "resolution": images.SIZE, "max_quarantined": 0.9, **SPLIT}


@pytest.fixture(scope="module")
def run(data_projects):
    project = data_projects()
    for name, content in images.ordinary().items():
        project.write(name).write_bytes(content)
    for image in images.images():
        project.write(image.name).write_bytes(image.content)
    project.block(**SETTINGS, near_duplicates=1.0)
    project.ingest()
    project.validate()
    project.prepare()
    return project


@pytest.fixture(scope="module")
def reasons(run):
    with run.project.quarantine("own").open(newline="", encoding="utf-8") as stream:
        return {row["id"]: row["reason"] for row in csv.DictReader(stream)}


def test_there_are_forty_and_more():
    found = images.images()
    assert len({image.name for image in found}) == len(found) >= 40


@pytest.mark.parametrize("image", images.images(), ids=lambda image: image.name)
def test_result_of_each_case(run, reasons, image):
    if image.reason is not None:
        assert image.reason in reasons.get(image.name, "it enters")
        return
    assert reasons.get(image.name) is None
    dataset = ImageDataset(path="x", **SETTINGS)
    reader = final_reader("own", dataset, run.project.manifest("own"))
    found = reader.load(run.folder / image.name)[0].transpose(1, 2, 0)
    assert found.shape == image.becomes.shape
    assert np.abs(found.astype(int) - image.becomes.astype(int)).max() <= image.within


def test_what_enters_is_packed(run, reasons):
    prepared = Prepared(run.project.prepared("own"))
    assert prepared.meta.shape == (3, images.SIZE, images.SIZE)
    files = len(images.images()) + len(images.ordinary())
    assert sum(prepared.meta.items.values()) == files - len(reasons)


def test_no_reason_without_the_check_of_the_data(tmp_path, monkeypatch):
    """What only the checks of the data find would enter if they were left out."""
    monkeypatch.setattr("genmint.data.ingestion.readers.image.verify", lambda container: None)
    reader = ImageReader(ImageDataset(path="x", **SETTINGS))
    for name in ("jpeg-200-missing.jpg", "jpeg-300-twice.jpg", "webp-surplus.webp"):
        path = tmp_path / name
        path.write_bytes(next(i.content for i in images.images() if i.name == name))
        assert reader.describe(path)["width"] > 0
