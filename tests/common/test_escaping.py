"""Names and messages that can be printed, whatever the names of files hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genmint.common.escaping import escape_name, is_utf8, printable, unescape_name

# What a name on disk can be, as Python reads it: bytes that are not UTF-8 are surrogates.
NAMES = st.binary(min_size=1, max_size=20).map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(NAMES)
def test_an_escaped_name_can_be_printed_and_turned_back(name):
    shown = escape_name(name)
    shown.encode()
    assert printable(shown) == shown
    assert unescape_name(shown) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ordinary é 人.png", "ordinary é 人.png"),
        ("caf\udce9", "caf\\xe9"),
        ("caf\\xe9", "caf\\\\xe9"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb", "a\\x0ab"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
    ],
)
def test_names_as_they_are_shown(name, shown):
    assert escape_name(name) == shown
    assert is_utf8(name) == ("\udce9" not in name)


def test_a_message_keeps_its_lines_and_loses_what_moves_the_terminal():
    message = "one\n\ttwo \\ three \x1b]0;title\x07 \udce9 \u2066"
    assert printable(message) == "one\n\ttwo \\ three \\x1b]0;title\\x07 \\xe9 \\u2066"
