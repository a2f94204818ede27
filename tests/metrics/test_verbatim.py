import numpy as np
import pytest

from genmint.common.errors import DataError
from genmint.metrics import verbatim
from genmint.metrics.verbatim import novel_4grams, text_memorisation


@pytest.fixture(scope="module")
def text():
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(np.full(12, 0.3), 12).cumsum(axis=1)
    stream = [0]
    for level in rng.random(12_000):
        stream.append(int((level > transition[stream[-1]]).sum().clip(max=11)))
    return np.array(stream, dtype=np.uint16)


def test_replayed_text_is_detected_and_held_out_text_passes(text):
    train, held_out, fresh = text[:8000], text[8000:10_000], text[10_000:12_000]
    replayed = train[500:1500].reshape(10, 100)
    found = text_memorisation(replayed, train, held_out)
    # A little below 100: no symbol counts more than three times in a row.
    assert (found["copied"], found["longest_copy"]) == (1.0, pytest.approx(98, abs=2))
    assert found["copy_ratio"] >= 2
    honest = text_memorisation(fresh.reshape(20, 100), train, held_out)
    assert honest["copied"] <= 0.2
    assert honest["longest_copy"] < 60
    assert honest["copy_ratio"] < 1.7


def test_a_copied_passage_inside_a_new_text_is_found(text):
    train, held_out = text[:8000], text[8000:10_000]
    sample = np.concatenate([held_out[:30], train[4000:4060], held_out[30:40]])
    found = text_memorisation(sample[None], train, held_out)
    assert (found["copied"], found["copied_stderr"]) == (1.0, 0.0)
    assert found["longest_copy"] == pytest.approx(60, abs=10)


def test_longest_run_is_what_a_search_finds(text):
    train, sample = text[:2000], text[10_000:10_080]

    def occurs(run):
        windows = np.lib.stride_tricks.sliding_window_view(train, len(run))
        return (windows == run).all(axis=1).any()

    longest = max(n for n in range(1, 80) for i in range(80 - n + 1) if occurs(sample[i : i + n]))
    assert verbatim._Text(train).longest_run(sample) == longest


def test_a_test_split_shorter_than_a_sample_is_refused(text):
    with pytest.raises(DataError, match=r"protocol\.sample_length"):
        text_memorisation(text[:200].reshape(1, 200), text, text[:100])


def test_no_samples_are_refused_with_the_remedy(text):
    with pytest.raises(DataError, match=r"protocol\.samples"):
        text_memorisation(text[:0].reshape(0, 100), text, text)


def test_the_ratio_is_to_as_many_held_out_pieces(text):
    """Nine pieces of ten copy nothing, the last 30 symbols: one sample meets a piece without."""
    train = text[:4000] % 6
    strange = np.full(1000, 9, dtype=np.uint16)
    strange[-30:] = train[100:130]
    sample = np.concatenate([train[500:520], np.full(80, 8, dtype=np.uint16)])
    alone = text_memorisation(sample[None], train, strange)
    # The single piece is the first, and shares nothing.
    assert alone["copy_ratio"] == alone["longest_copy"] == pytest.approx(20, abs=1)
    many = text_memorisation(np.stack([sample] * 10), train, strange)
    assert many["copy_ratio"] == pytest.approx(many["longest_copy"] / 30, rel=0.1)


def test_pages_in_both_splits_excuse_no_quotations(text):
    train, held_out = text[:8000], text[7000:10_000]
    replayed = train[500:1500].reshape(10, 100)
    found = text_memorisation(replayed, train, held_out)
    assert (found["copied"], found["copy_ratio"]) == (1.0, pytest.approx(2.0, abs=0.05))


def test_lines_and_empty_cells_are_no_quotations(text):
    line = np.full(150, 3, dtype=np.uint16)
    train = np.concatenate([text[:4000], line, text[4000:8000]])
    sample = np.concatenate([text[8000:8010], line[:90]])
    found = text_memorisation(sample[None], train, text[8000:10_000])
    assert found["longest_copy"] < 20
    assert found["copied"] == 0.0


@pytest.mark.parametrize(
    ("stream", "expected"),
    [("aaaaabbbb", "aaabbb"), ("aaabaaab", "aaabaaab"), ("aa", "aa"), ("", ""), ("aaaa", "aaa")],
)
def test_a_symbol_counts_three_times_in_a_row(stream, expected):
    found = verbatim._squeezed(np.array([ord(c) for c in stream], dtype=np.int64))
    assert "".join(map(chr, found)) == expected


def test_novelty_counts_sequences_of_four_words():
    train = ["the", "cat", "sat", "on", "the", "mat"]
    samples = [
        ["the", "cat", "sat", "on", "the", "dog"],
        ["cat", "sat", "on", "the", "mat"],
        ["cat"],
    ]
    # the-cat-sat-on, cat-sat-on-the, sat-on-the-dog; cat-sat-on-the, sat-on-the-mat: 1 new of 5.
    assert novel_4grams(samples, train)[0] == pytest.approx(0.2)
    assert novel_4grams([train], train) == (0.0, 0.0)
    assert novel_4grams([["a", "b", "c"]], train) == (0.0, 0.0)
    assert novel_4grams([list("abcdefg")] * 2, train) == (1.0, 0.0)
