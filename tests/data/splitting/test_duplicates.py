"""Copies and near-duplicates: what is found, what is not, and that the search stays bounded."""

import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from genmint.common.errors import DataError
from genmint.config import AudioDataset, ImageDataset, TextDataset
from genmint.data.prepared import SPLITS
from genmint.data.splitting import assignment, duplicates
from genmint.data.splitting.sketches import (
    MINHASHES,
    SHINGLE,
    TextSketch,
    clip_sketches,
    image_sketches,
)

GENERATOR = np.random.default_rng(0)


def photos(count, *, seed=0, channels=1, size=32):
    """Images of soft shapes, uint8 N×C×size×size, all different."""
    rough = np.random.default_rng(seed).integers(0, 256, (count, channels, 6, 6), dtype=np.uint8)
    return np.stack(
        [
            [np.asarray(Image.fromarray(plane).resize((size, size), 3)) for plane in image]
            for image in rough
        ]
    )


def as_jpeg(image, quality):
    stream = io.BytesIO()
    Image.fromarray(image[0]).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(io.BytesIO(stream.getvalue())))[np.newaxis]


def found(sketches, kind="image", similarity=None):
    return duplicates.find_near_duplicates(
        [str(number) for number in range(len(sketches))],
        [None if sketch is None else sketch.tobytes() for sketch in sketches],
        np.ones(len(sketches), dtype=np.int64),
        kind,
        similarity,
    )


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda image: as_jpeg(image, 75), True),
        (lambda image: np.asarray(Image.fromarray(image[0]).resize((64, 64), 3).resize(
            (32, 32), 3))[np.newaxis], True),
        (lambda image: (image * 0.8 + 20).astype(np.uint8), True),
        (lambda image: image[:, :, ::-1], False),
        (lambda image: np.roll(image, 5, axis=2), False),
    ],
    ids=["jpeg", "resized", "contrast", "mirrored", "moved"],
)  # fmt: skip
def test_images_that_were_stored_again_are_near_duplicates(change, same):
    images = photos(60)
    copies = np.stack([change(image) for image in images[:20]])
    groups = found(image_sketches(np.concatenate([images, copies]))).rows
    assert (groups[60:] == np.arange(20)).mean() == (1.0 if same else 0.0)
    assert (groups[:60] == np.arange(60)).all()


def test_images_of_other_colours_are_no_near_duplicates():
    images = photos(20, channels=3)
    shifted = np.roll(images, 1, axis=1)
    grey = image_sketches(images)[:, :256]
    # The same luminance, so that colour alone differs.
    sketches = np.concatenate(
        [image_sketches(images), np.hstack([grey, image_sketches(shifted)[:, 256:]])]
    )
    assert duplicates.redundant(found(sketches).rows) == 0


def test_low_resolution_and_blank_images_are_compared_exactly():
    assert image_sketches(photos(3, size=8)) is None
    blank = (
        np.full((4, 1, 32, 32), 200, dtype=np.uint8)
        + np.arange(4, dtype=np.uint8)[:, None, None, None]
    )
    assert duplicates.redundant(found(image_sketches(blank)).rows) == 0


def test_a_similarity_of_one_groups_copies_only():
    images = photos(10)
    sketches = image_sketches(np.concatenate([images, images]))
    assert duplicates.redundant(found(sketches, similarity=1.0).rows) == 0
    assert duplicates.redundant(found(sketches).rows) == 10


def clips(count, seed=0):
    """Clips of a few gliding tones with noise, int16 N×4000 at 8 kHz."""
    generator = np.random.default_rng(seed)
    time = np.arange(4000) / 8000
    tones = generator.uniform(100, 3000, (count, 4, 1)) * (
        1 + generator.uniform(-0.8, 0.8, (count, 4, 1)) * time
    )
    sound = np.sin(2 * np.pi * np.cumsum(tones, axis=2) / 8000).mean(axis=1)
    sound *= np.exp(-time * generator.uniform(0, 8, (count, 1)))
    return (sound * 12_000 + generator.normal(0, 30, sound.shape)).astype(np.int16)


@pytest.mark.parametrize(
    "change",
    [
        lambda clip: (clip * 0.4).astype(np.int16),
        lambda clip: clip + GENERATOR.normal(0, 40, clip.shape).astype(np.int16),
        lambda clip: clip // 64 * 64,
    ],
    ids=["quieter", "noisier", "10 bits"],
)
def test_clips_that_were_stored_again_are_near_duplicates(change):
    sound = clips(40)
    groups = found(
        clip_sketches(np.concatenate([sound, change(sound[:15])]), 8000), "audio", 0.99
    ).rows
    assert (groups[40:] == np.arange(15)).all()
    assert (groups[:40] == np.arange(40)).all()


def test_clips_too_short_for_a_spectrogram_have_no_sketch():
    assert clip_sketches(np.ones((2, 300), dtype=np.int16), 8000) is None


def text_sketch(text, piece=10_000):
    sketch = TextSketch()
    for start in range(0, len(text), piece):
        sketch.update(text[start : start + piece])
    return sketch.sketch()


def shingles(text):
    joined = " ".join(text.lower().split())
    return {joined[k : k + SHINGLE] for k in range(len(joined) - SHINGLE + 1)}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_minhashes_agree_as_often_as_shingles_do(seed, share):
    generator = np.random.default_rng(seed)
    words = ["".join(generator.choice(list("abcdefghij"), 5)) for _ in range(400)]
    kept = int(200 * share)
    one, other = " ".join(words[:200]), " ".join(words[:kept] + words[200 : 400 - kept])
    sets = shingles(one), shingles(other)
    jaccard = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    hashes = [text_sketch(text).view("<u4")[0] for text in (one, other)]
    assert np.mean(hashes[0] == hashes[1]) == pytest.approx(jaccard, abs=5 * 0.5 / MINHASHES**0.5)


@given(st.text(st.sampled_from("ab \n\t漢"), min_size=1, max_size=80), st.integers(1, 9))
def test_a_text_in_pieces_has_the_sketch_of_the_whole(text, piece):
    text = text + "".join(chr(97 + k % 26) + chr(97 + k // 26) for k in range(80))
    whole, parts = text_sketch(text), text_sketch(text, piece=max(piece, 60))
    np.testing.assert_array_equal(whole, parts)


def test_texts_with_other_blanks_capitals_and_a_new_end_are_near_duplicates():
    generator = np.random.default_rng(3)
    texts = [" ".join("".join(generator.choice(list("etaoin"), 5)) for _ in range(150))
             for _ in range(30)]  # fmt: skip
    texts += [texts[4].upper().replace(" ", "\r\n"), texts[5] + " and so on"]
    groups = found([text_sketch(text) for text in texts], "text").rows
    assert groups[30:].tolist() == [4, 5]
    assert duplicates.redundant(groups) == 2
    assert text_sketch("too short to tell") is None


def test_a_set_of_one_item_over_and_over_costs_no_more_than_others():
    """All pairs would be 8 × 10⁶; the candidates of each order are some times the items."""
    same = np.repeat(image_sketches(photos(1)), 4_000, axis=0)
    assert len(duplicates._neighbours(duplicates._signs(same), 0.995)) <= 4 * 16 * 4_000
    assert set(found(same).rows) == {0}


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_components_are_those_of_the_graph(pairs):
    labels = list(range(20))
    for _ in range(20):
        for one, other in pairs:
            labels[one] = labels[other] = min(labels[one], labels[other])
    edges = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    assert duplicates.components(20, edges).tolist() == labels


RULES = ("hash", "group:who", "official", "position", "position:file")


@settings(max_examples=30, deadline=None)
@given(st.data(), st.sampled_from(RULES), st.sampled_from(["image", "audio", "text"]))
def test_no_rule_puts_a_group_into_two_splits(data, rule, kind):
    count = data.draw(st.integers(8, 40))
    groups = data.draw(st.lists(st.integers(0, 12), min_size=count, max_size=count))
    first = {group: groups.index(group) for group in groups}
    rows = np.array([first[group] for group in groups])
    if kind == "image" and rule == "position:file":
        rule = "position"
    windows = data.draw(st.lists(st.integers(1, 30), min_size=count, max_size=count))
    known = st.sampled_from(["train", "train", "test", "validation"])
    table = pa.table(
        {
            "id": [f"{number}.x" for number in range(count)],
            "sha256": [f"{number * 7919:064x}"[::-1] for number in range(count)],
            "who": data.draw(st.lists(st.sampled_from("abcdefgh"), min_size=count, max_size=count)),
            "split": data.draw(st.lists(known, min_size=count, max_size=count)),
            "characters": [10 * number for number in windows],
            **({"windows": windows} if kind == "audio" else {}),
        }
    )
    settings_of = {
        "image": lambda: ImageDataset(kind="image", path="x", resolution=8, split=rule),
        "audio": lambda: AudioDataset(
            kind="audio", path="x", sample_rate=1000, seconds=1, windows="all", split=rule
        ),
        "text": lambda: TextDataset(kind="text", path="x", split=rule),
    }
    dataset = settings_of[kind]()
    near = duplicates.NearDuplicates(rows, np.arange(sum(windows)), count)
    try:
        if kind == "text":
            parts = assignment._text_parts(table, dataset, near)
            sides = [{(row, split) for split, *_ in part} for row, part in enumerate(parts)]
        else:
            assigned = assignment._assigned(table, dataset, near)
            owners = np.repeat(np.arange(count), assignment.counts_of(table))
            sides = [
                {(row, SPLITS[s]) for s in set(assigned[owners == row].tolist()) if s >= 0}
                for row in range(count)
            ]
    except DataError:
        return
    for group in set(groups):
        members = [row for row in range(count) if groups[row] == group]
        if len(members) > 1:
            assert len({split for row in members for _, split in sides[row]}) <= 1
