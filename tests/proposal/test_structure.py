"""Labels and splits that folders and names state."""

import re

import pytest

from genmint.proposal.structure import structure_of


def named(pattern, count=60):
    return [pattern.format(n=n, k=n % 3, word=("cat", "dog", "owl")[n % 3]) for n in range(count)]


def test_folders_are_classes():
    found = structure_of(named("{word}/{n}.png"), "image")
    assert (found.labels, found.pattern, found.split) == ("folder", None, "")
    assert found.classes == (("cat", 20), ("dog", 20), ("owl", 20))
    assert str(found) == "3 classes by folder: cat 20, dog 20, owl 20"


@pytest.mark.parametrize(
    ("names", "pattern", "label"),
    [
        ("{k}_anna{n}_{n}.wav", "(?P<label>[^_]+)_.+", "0"),
        ("{word}-{n}.png", "(?P<label>[^-]+)-.+", "cat"),
        ("{word}.{n}.png", r"(?P<label>[^.]+)\..+", "cat"),
        ("{n}_{word}.png", "[^_]+_(?P<label>[^_]+)", "cat"),
        ("sub/{word}{n}.png", "(?P<label>[A-Za-z]+)[0-9]+", "cat"),
    ],
)
def test_names_state_classes(names, pattern, label):
    paths = named(names)
    found = structure_of(paths, "image")
    assert (found.labels, found.pattern) == ("filename", pattern)
    stems = [path.rpartition("/")[2].rpartition(".")[0] for path in paths]
    assert re.fullmatch(pattern, stems[0])["label"] == label
    assert all(re.fullmatch(pattern, stem) for stem in stems)
    assert sum(number for _, number in found.classes) == len(paths)


def test_other_parts_that_repeat_are_named():
    paths = [f"{n % 3}_{('anna', 'bob')[n % 2]}_{n}.wav" for n in range(60)]
    assert structure_of(paths, "audio").parts == ((2, ("anna", "bob")),)


@pytest.mark.parametrize(
    "paths",
    [
        named("IMG{n}.png"),  # one word
        named("{n}.png"),
        named("{n}_{n}.png"),
        [*named("{word}/{n}.png"), "loose.png"],  # one image in no folder
        [f"class{n}/{n}.png" for n in range(60)],  # a folder each
        named("{word}/{n}.txt", 6),  # two each
    ],
)
def test_what_does_not_repeat_is_no_class(paths):
    assert structure_of(paths, "image").labels == "none"


def test_texts_have_no_labels():
    assert structure_of(named("{word}/{n}.txt"), "text").labels == "none"


def test_split_folders_are_splits_and_the_folders_in_them_classes():
    paths = [
        f"{('train', 'val', 'test')[n % 3]}/{('cat', 'dog')[n % 2]}/{n}.png" for n in range(60)
    ]
    found = structure_of(paths, "image")
    assert (found.split, found.labels) == ("official", "filename")
    assert found.pattern == "(?P<split>test|train|val)/(?P<label>[^/]+)/.+"
    assert found.classes == (("cat", 30), ("dog", 30))
    flat = structure_of([f"{('train', 'test')[n % 2]}/{n}.png" for n in range(60)], "image")
    assert (flat.split, flat.labels) == ("official", "none")
    assert flat.pattern == "(?P<split>test|train)/.+"


def test_train_and_test_in_names_are_no_classes():
    paths = [f"{('train', 'test')[n % 2]}_{n}.png" for n in range(60)]
    assert structure_of(paths, "image").labels == "none"


@pytest.mark.parametrize(
    ("paths", "why"),
    [
        (named("{n}.png"), "neither folders nor names repeat"),
        (named("all/{n}.png"), "neither folders nor names repeat"),
        ([*named("{word}/{n}.png"), "loose.png"], "1 of 61 files are in no folder"),
        (
            [*named("{word}/{n}.png"), "bee/0.png"],
            "the folder bee has a single file, and a class needs two",
        ),
        (
            named("{word}/{n}.txt", 6),
            "3 folders of 6 files, and a class needs 5 files on average",
        ),
        (
            [f"{('train', 'test', 'other')[n % 3]}/{n}.png" for n in range(60)],
            "the folders test, train look like splits, and 20 files are in none of them",
        ),
        (
            [f"{('train', 'test')[n % 2]}/{n}.png" for n in range(60)],
            "no folders of classes within the splits",
        ),
    ],
)
def test_it_says_why_there_are_no_labels(paths, why):
    assert str(structure_of(paths, "image")) == f"none: {why}"
