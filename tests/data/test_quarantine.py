"""Lists of items: whatever a file is called, the list of one stage is what the next one reads."""

import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genmint.common.errors import DataError
from genmint.common.escaping import escape_name, unescape_name
from genmint.common.reading import read_table, write_table
from genmint.config import TextDataset
from genmint.data import manifest, quarantine
from genmint.data.ingestion.folder import Folder
from genmint.data.ingestion.items import FileItems
from genmint.data.ingestion.readers import TextReader
from genmint.data.quarantine import Quarantined

TEXT = TextDataset(path="data/own/x", kind="text", split="hash")
ENDING = b".txt"
LONGEST = 255 - len(ENDING)
AWKWARD = [
    *("a\rb", "a\nb", "a\r\nb", "\r", 'a"b', '"', '""', "a,b", "a;b", "a\tb", " a ", "\ufeffid"),
    *("a\\x0db", "a\\rb", "\\", "a\\", "#", "'", "=1+1", "\x01", "\x1c", "\x85", "\u2028", "a/b"),
    *("id", "é", "e\u0301", "\u202etxt", "\x7f", "😀", "n" * LONGEST, "-", "%00", "<b>", "NaN"),
]
# Bytes of a file's name: anything but a slash and a zero byte; not hidden, which is no item.
NAMES = st.one_of(
    st.sampled_from([os.fsencode(name.replace("/", "_")) for name in AWKWARD]),
    st.binary(min_size=1, max_size=40).map(lambda name: name.translate(None, b"\0/")),
    st.text(min_size=1, max_size=40).map(
        lambda name: name.encode("utf-8", "surrogatepass").translate(None, b"\0/")
    ),
).filter(lambda name: name and not name.startswith(b"."))


@given(st.lists(st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]))] * 3)))
@example([("\r", "\n", ""), ("a\0", "x" * 100_000, '","')])
@settings(max_examples=100, deadline=None)
def test_a_table_returns_what_was_written(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path, Quarantined._fields, rows)
        found = read_table(path, Quarantined._fields, "a list")
    assert [tuple(row.values()) for row in found] == rows


@given(st.sets(NAMES, min_size=1, max_size=12), st.data())
@settings(max_examples=15, deadline=None)
def test_what_is_quarantined_is_left_out_whatever_it_is_called(names, data):
    check(names, data)


@pytest.mark.soak
@given(st.sets(NAMES, min_size=1, max_size=30), st.data())
@settings(max_examples=1000, deadline=None)
def test_what_is_quarantined_is_left_out_at_length(names, data):
    check(names, data)


def check(names, data):
    """Real files, whose names go through the manifest, the list and a flow's copy."""
    with tempfile.TemporaryDirectory() as temporary:
        root, listed = Path(temporary, "own"), Path(temporary, "own.csv")
        root.mkdir()
        for number, name in enumerate(sorted(names)):
            Path(os.fsdecode(os.fsencode(root) + b"/" + name + ENDING)).write_text(f"{number}!")
        table = rows_of(root, Path(temporary, "own.parquet"))
        known = dict(zip(map(unescape_name, table["path"].to_pylist()), table["id"].to_pylist(),
                         strict=True))  # fmt: skip
        assert set(map(os.fsencode, known)) == {name + ENDING for name in names}
        out = data.draw(st.sets(st.sampled_from(sorted(known))))
        ids = sorted(known[name] for name in out)
        quarantine.write(listed, [Quarantined(each, each, f"{each}\r, bad") for each in ids])
        kept = quarantine.without(table, quarantine.read(listed), listed)
        unreadable = {row["id"] for row in table.to_pylist() if row["error"] is not None}
        expected = {known[name] for name in known.keys() - out} - unreadable
        assert set(kept["id"].to_pylist()) == expected
        # What a flow copies are the same items, under the same names.
        folder = Folder(root, False, lambda: ())
        folder.copy(Path(temporary, "copy"))
        copy = Folder(Path(temporary, "copy"), False, lambda: ())
        assert copy.listing((".txt",), "text") == folder.listing((".txt",), "text")


def rows_of(root, path):
    items = FileItems(root, TEXT, lambda: ())
    manifest.write(path, items.describe(), manifest.schema(TextReader(TEXT), (), {}))
    return manifest.read(path)


@given(st.text(st.characters(exclude_characters="/\0")))
@example("\udc80\ud800")
@example("\\udc80")
def test_names_are_escaped_to_text_that_can_be_written_and_turned_back(name):
    escaped = escape_name(name)
    assert unescape_name(escaped) == name
    assert escaped.encode().decode().isprintable() or not name.isprintable()
    assert not set("\r\n\x85\u2028\x1c") & set(escaped)


@pytest.mark.parametrize(
    ("ids", "listed", "message"),
    [
        (["a", "b"], ["c"], "'c' names no item of the manifest"),
        (["a", "b"], ["a", "a"], "'a' occurs twice"),
        (["a", "a", "b"], ["b"], "'a' occurs twice"),
        (["a", "a", "b"], ["a", "x"], "'x' names no item"),
        (["a"], ["a\rb", "c", "d", "e"], r"'a\\rb', 'c', 'd' and 1 more names no item"),
    ],
)
def test_a_list_of_something_else_is_refused(ids, listed, message, tmp_path):
    """As of another manifest, or of one whose names did not survive."""
    table = pa.table({"id": ids, "error": pa.nulls(len(ids), pa.string())})
    items = [Quarantined(name, name, "bad") for name in listed]
    with pytest.raises(DataError, match=rf"own\.csv: {message}.*dvc repro -f validate@own"):
        quarantine.without(table, items, tmp_path / "own.csv")
