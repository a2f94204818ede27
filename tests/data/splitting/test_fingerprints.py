"""Fingerprints: what was trained on is found again, whatever stands around it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genmint.data.splitting import fingerprints
from genmint.data.splitting.fingerprints import WINDOW, contains, copied, of_items, of_text


def random_text(length, seed):
    return np.random.default_rng(seed).integers(32, 1200, length).astype(np.uint32)


def known(*pieces):
    return np.unique(of_text(pieces))


def test_equal_items_have_equal_fingerprints_and_others_do_not():
    items = np.random.default_rng(0).integers(0, 256, (500, 1, 4, 4)).astype(np.uint8)
    found = of_items(np.concatenate([items, items[::-1]]))
    np.testing.assert_array_equal(found[:500], found[500:][::-1])
    assert len(np.unique(found)) == 500


@given(st.lists(st.integers(0, 300), max_size=8), st.integers(0, 5))
def test_a_text_has_the_same_fingerprints_however_it_is_read(lengths, seed):
    text = random_text(sum(lengths), seed)
    pieces = np.split(text, np.cumsum(lengths)[:-1]) if lengths else []
    np.testing.assert_array_equal(of_text(pieces), of_text([text]))
    assert len(of_text([text])) == len(text) // WINDOW


@given(st.integers(0, 400), st.integers(191, 900), st.integers(0, 400), st.integers(0, 300))
def test_a_copied_passage_is_found_whole(before, length, after, place):
    trained = random_text(1500, 1)
    passage = trained[place : place + length]
    text = np.concatenate([random_text(before, 2), passage, random_text(after, 3)])
    found = copied(text, known(trained))
    assert found[before : before + len(passage)].all()
    # Nothing of what stands around it but the width of a window.
    assert not found[: max(0, before - WINDOW + 1)].any()
    assert not found[before + len(passage) + WINDOW - 1 :].any()


def test_a_phrase_is_no_copy():
    trained, text = random_text(1000, 4), random_text(1000, 5)
    text[300 : 300 + WINDOW] = trained[:WINDOW]
    assert not copied(text, known(trained)).any()


def test_long_texts_are_looked_at_in_pieces(monkeypatch):
    trained, text = random_text(3000, 6), random_text(3000, 7)
    text[900:1500] = trained[64:664]
    whole = copied(text, known(trained))
    monkeypatch.setattr(fingerprints, "_PIECE", 100)
    np.testing.assert_array_equal(copied(text, known(trained)), whole)
    assert whole.sum() >= 600


def test_nothing_is_found_in_nothing():
    assert not copied(random_text(500, 8), np.zeros(0, dtype=np.uint64)).any()
    assert len(copied(np.zeros(0, dtype=np.uint32), known(random_text(500, 8)))) == 0
    assert not contains(np.zeros(0, dtype=np.uint64), np.array([3], dtype=np.uint64)).any()
