"""Texts are read as UTF-8 in pieces, whatever ends their lines."""

import numpy as np
import pytest

from genmint.config import TextDataset
from genmint.data.ingestion.readers import TextReader, UnreadableError, codepoints

READER = TextReader(TextDataset(kind="text", path="x"))


def written(tmp_path, content):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    return path


def text_of(path):
    return "".join(chr(code) for codes in codepoints(path) for code in codes)


def test_statistics(tmp_path):
    found = READER.describe(written(tmp_path, "aé\n\tb\x00漢".encode()))
    statistics = {"characters": 7, "charset": 7, "lines": 2, "control": round(1 / 7, 6)}
    assert {name: found[name] for name in statistics} == statistics
    assert found["visible"] == 4
    assert found["sketch"] is None  # too short to have near-duplicates


@pytest.mark.parametrize(("text", "lines"), [("a", 1), ("a\n", 1), ("a\nb", 2), ("\n\n", 2)])
def test_lines(tmp_path, text, lines):
    assert READER.describe(written(tmp_path, text.encode()))["lines"] == lines


def test_line_ends_become_line_feeds_and_the_byte_order_mark_goes(tmp_path):
    assert text_of(written(tmp_path, b"\xef\xbb\xbfa\r\nb\rc\n")) == "a\nb\nc\n"


def test_a_text_longer_than_a_piece_is_whole(tmp_path):
    text = "".join(chr(0x20 + number % 0x2000) for number in range(700_000))
    path = written(tmp_path, text.encode())
    assert len(list(codepoints(path))) > 1
    assert text_of(path) == text
    assert READER.describe(path)["characters"] == 700_000


@pytest.mark.parametrize(
    ("content", "byte"),
    [
        ("é".encode("latin-1"), "e9"),
        ("hello".encode("utf-16"), "ff"),
        (b"a" * 600_000 + b"\xc3", "c3"),
    ],
)
def test_what_is_not_utf8_names_the_byte(tmp_path, content, byte):
    with pytest.raises(UnreadableError, match=rf"not UTF-8 \(byte 0x{byte}\)"):
        READER.describe(written(tmp_path, content))


def test_an_empty_file_is_a_reason(tmp_path):
    with pytest.raises(UnreadableError, match="empty file"):
        READER.describe(written(tmp_path, b""))


def test_code_points_beyond_the_first_plane(tmp_path):
    codes = np.concatenate(list(codepoints(written(tmp_path, "🎈x".encode()))))
    assert codes.tolist() == [0x1F388, ord("x")]
