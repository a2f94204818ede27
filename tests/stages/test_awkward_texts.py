"""Every awkward text of tests/awkward/texts.py: what enters, what does not, and why."""

import csv
import itertools
import json

import numpy as np
import pytest

from awkward import texts
from genmint.data.prepared import SPLITS, Prepared


@pytest.fixture(scope="module")
def run(data_projects):
    project = data_projects()
    for name, content in texts.ordinary().items():
        project.write(name).write_bytes(content)
    for text in texts.TEXTS:
        project.write(text.name).write_bytes(text.content)
    settings = {"validation": 0.2, "test": 0.2, "max_quarantined": 0.5, "confirmation": 0.2}
    project.block(kind="text", **settings)
    project.ingest()
    project.validate()
    project.prepare()
    return project


def documents(prepared):
    """Each document that a split holds, as text."""
    for split in SPLITS:
        stream, offsets = prepared.array(split), prepared.offsets(split)
        for start, stop in itertools.pairwise(offsets):
            yield split, [prepared.meta.vocabulary[token] for token in stream[start + 1 : stop]]


def test_there_are_twenty_and_more():
    assert len({text.name for text in texts.TEXTS}) == len(texts.TEXTS) >= 20


@pytest.mark.parametrize("text", texts.TEXTS, ids=lambda text: text.name)
def test_result_of_each_case(run, text):
    with run.project.quarantine("own").open(newline="", encoding="utf-8") as stream:
        reasons = {row["id"]: row["reason"] for row in csv.DictReader(stream)}
    if text.reason is not None:
        assert text.reason in reasons[text.name]
        return
    assert text.name not in reasons
    prepared = Prepared(run.project.prepared("own"))
    known = set(prepared.meta.vocabulary)
    wanted = [character if character in known else "<unk>" for character in text.becomes]
    assert wanted in [found for _, found in documents(prepared)]


def test_near_duplicates_are_named_and_stay_in_one_split(run):
    near = {text.name for text in texts.TEXTS if text.near}
    group = {"ordinary-01.txt", *near}
    report = json.loads(run.project.validation("own").read_text())["near_duplicates"]
    assert report["largest"] == [sorted(group)]
    assert report["items"] == len(near)
    assert report["copies"] == 2
    prepared = Prepared(run.project.prepared("own"))
    sides = {
        split
        for split, found in documents(prepared)
        if " ".join("".join(found).lower().split()).startswith(texts.prose(1))
    }
    assert len(sides) == 1
    assert np.sum([prepared.meta.items[split] for split in SPLITS]) == 40 + sum(
        text.reason is None for text in texts.TEXTS
    )
