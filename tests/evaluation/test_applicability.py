"""Which metrics have no meaning for a data set, and that the others keep theirs."""

import numpy as np
import pytest

from genmint.evaluation.applicability import BY_WORD, above_chance, words_left_out
from genmint.evaluation.judge import TextJudge

# Poems by Li Bai and Wang Zhihuan, the beginning of Kusamakura, proverbs, Dickens, the Odyssey.
CHINESE = """\
床前明月光，疑是地上霜。举头望明月，低头思故乡。
白日依山尽，黄河入海流。欲穷千里目，更上一层楼。
"""
JAPANESE = "山路を登りながら、こう考えた。智に働けば角が立つ。情に棹させば流される。\n"
THAI = "น้ำขึ้นให้รีบตัก รักวัวให้ผูกรักลูกให้ตี ช้าๆได้พร้าเล่มงาม\n"
KOREAN = "가는 말이 고와야 오는 말이 곱다. 낮말은 새가 듣고 밤말은 쥐가 듣는다.\n"
ENGLISH = "It was the best of times, it was the worst of times, it was the age of wisdom.\n"
GREEK = "Ἄνδρα μοι ἔννεπε, Μοῦσα, πολύτροπον, ὃς μάλα πολλὰ πλάγχθη.\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CHINESE, "script without spaces (Chinese)"),
        (JAPANESE, "script without spaces (Japanese)"),
        (THAI, "script without spaces (Thai)"),
        ("GATTACAGGATCC" * 40 + "\n", "runs of 40 letters or more"),
    ],
)
def test_word_metrics_are_left_out_where_no_spaces_separate_words(text, words):
    found = words_left_out(text * 5)
    assert set(found) == set(BY_WORD)
    assert all(words in reason for reason in found.values())


@pytest.mark.parametrize("text", [ENGLISH, KOREAN, GREEK, ENGLISH * 12 + CHINESE])
def test_texts_with_spaces_keep_their_word_metrics(text):
    assert words_left_out(text * 5) == {}


def test_text_without_words_keeps_what_counts_characters():
    assert set(words_left_out("12 34 56 78 90 12\n")) == {"words_in_held_out", "word_distance"}
    assert "novel_4grams" in words_left_out("7\n")
    assert words_left_out("")


def test_real_poems_score_nothing_by_words_against_other_real_poems():
    samples, held_out = CHINESE.splitlines()
    streams = np.arange(4), np.arange(4)
    by_words = TextJudge(*streams, CHINESE, held_out).quality([samples, samples[::-1]])
    assert by_words["words_in_held_out"] == 0.0
    judge = TextJudge(*streams, CHINESE, held_out, words_left_out(held_out))
    assert set(judge.quality([samples, samples[::-1]])) == {
        "character_distance", "character_distance_stderr"
    }  # fmt: skip


def test_an_answer_that_does_not_depend_on_the_item_is_chance():
    truth = np.repeat([0, 1, 2], [90, 8, 2])
    constant = np.zeros_like(truth)
    assert (constant == truth).mean() == 0.9
    assert not above_chance(constant, truth, len(truth))
    assert not above_chance(np.random.default_rng(0).permutation(truth), truth, len(truth))
    assert above_chance(truth, truth, len(truth))


def test_a_class_with_a_single_item_does_not_spoil_the_others():
    truth = np.repeat([0, 1, 2], [30, 29, 1])
    assert above_chance(np.minimum(truth, 1), truth, len(truth))


def test_one_answer_is_no_task():
    alike = np.zeros(50, dtype=np.int64)
    assert not above_chance(alike, alike, 50)


def test_forms_of_one_item_count_once():
    """Symmetrical items: the same answer for all four forms, so exactly one of four is right."""
    truth = np.repeat(np.arange(4), 30)
    said = np.tile(np.random.default_rng(0).integers(0, 4, 30), 4)
    assert (said == truth).mean() == 0.25
    assert not above_chance(said, truth, 30)
