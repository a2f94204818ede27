"""JSON and CSV within bounds."""

import math

import pytest

from genmint.common.errors import DataError, GenmintError
from genmint.common.reading import parse_json, read_bytes, read_json, read_table


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"[" * 100_000, "nested more than 64 deep"),
        (b'{"a":' * 100_000, "nested more than 64 deep"),
        (b"[" + b"9" * 5000 + b"]", "a whole number of 5000 digits"),
        (b'{"a": 1, "a": 2}', "the key 'a' occurs twice"),
        (b'["\\ud83d"]', "half a surrogate pair"),
        (b"\xff\xfe[\x00", "UTF-16"),
        (b'["\xe9"]', "line 1, byte 3 of the line: not UTF-8"),
        (b"[1] 2", "Extra data"),
        (b"[1,]", "not valid JSON"),
        (b"\x00", "not valid JSON"),
    ],
)
def test_what_is_out_of_bounds_is_refused_in_one_line(tmp_path, data, message):
    path = tmp_path / "record.json"
    path.write_bytes(data)
    with pytest.raises(GenmintError, match=message) as caught:
        read_json(path, "The way out.")
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith(" The way out.")
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_within_bounds_is_read():
    assert parse_json(b"\xef\xbb\xbf[1, -2.5, true, null]", "f") == [1, -2.5, True, None]
    assert parse_json('["[[[", {"\\"{": ["\\ud83d\\ude00"]}]', "f") == ["[[[", {'"{': ["😀"]}]
    assert parse_json("[" * 64 + "]" * 64, "f")
    assert parse_json("[" * 40 + "]" * 40 + " " * 9, "f")
    brackets_in_text = '["' + "[" * 1000 + '"]'
    assert parse_json(brackets_in_text, "f") == ["[" * 1000]
    nan, infinite = parse_json("[NaN, -Infinity]", "f")
    assert math.isnan(nan)
    assert infinite == -math.inf


def test_files_are_bounded_and_must_be_files(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(GenmintError, match="more than 4 bytes"):
        read_bytes(path, 4)
    with pytest.raises(GenmintError, match="not a file"):
        read_bytes(tmp_path, 5)
    with pytest.raises(DataError, match=r"no such file\. Make it"):
        read_bytes(tmp_path / "b", 5, "Make it.", DataError)
    with pytest.raises(GenmintError, match="cannot be read: File name too long"):
        read_bytes(tmp_path / ("x" * 300), 5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a list (an empty file)"),
        (b"ide,reason\n", "line 1: not a list (no column 'id')"),
        (b"id,id\n", "line 1: not a list (a column occurs twice)"),
        (b"id,reason\na\n", "line 2: not a list (1 fields where the header has 2)"),
        (b"id,reason\na,b,c\n", "line 2: not a list (3 fields"),
        (b'id,reason\n"a,b\n', "line 2: not a list (unexpected end of data)"),
        (b"id,reason\n" + b"a" * 200_000 + b",b\n", "line 2: not a list (field larger than"),
        (b"id,reason\n\xff,b\n", "line 2, byte 1 of the line: not UTF-8"),
        (
            b"id,reason\n<<<<<<< HEAD\n",
            "line 2: not a list (1 fields where the header has 2). Line 2",
        ),
    ],
)
def test_damaged_tables_are_refused_by_file_and_line(tmp_path, data, message):
    path = tmp_path / "list.csv"
    path.write_bytes(data)
    with pytest.raises(GenmintError) as caught:
        read_table(path, ("id",), "a list")
    assert str(caught.value).startswith(f"{path}: {message}")


def test_tables_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "list.csv"
    path.write_bytes(b'id,reason\na,"b,\nc"\n')
    assert read_table(path, ("id",), "a list") == [{"id": "a", "reason": "b,\nc"}]
