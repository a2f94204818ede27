r"""File names and messages as text that can be printed.

A name on disk may hold anything but a slash and a zero byte: terminal escape sequences, line ends,
characters that reverse the direction of writing, bytes that are not UTF-8. Printed as they are,
they change what a terminal shows, break a table in two, or raise UnicodeEncodeError.
"""

from __future__ import annotations

import re

# Control characters, line and paragraph separators, marks that change the direction of writing,
# and surrogates: bytes that are not UTF-8, as Python reads them from disk (PEP 383).
_UNSAFE = "\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_IN_NAMES = re.compile(rf"[\\{_UNSAFE}]")
_IN_MESSAGES = re.compile(f"[{_UNSAFE}]")
_ESCAPED = re.compile(r"\\(?:(\\)|x([0-9a-f]{2})|u([0-9a-f]{4}))")
_FIRST_RAW_BYTE = 0xDC00


def escape_name(name: str) -> str:
    r"""A file name or path that can be printed and turned back (`unescape_name`).

    A backslash becomes `\\`, a control character or a byte that is not UTF-8 `\xNN`, another unsafe
    character `\uNNNN`. Two names are never escaped to the same text.
    """
    return _IN_NAMES.sub(_escaped, name)


def unescape_name(text: str) -> str:
    """The name that `escape_name` turned into `text`."""
    return _ESCAPED.sub(_unescaped, text)


def is_utf8(name: str) -> bool:
    """Whether a name that came from disk is UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(message: str) -> str:
    """A message of one or more lines without terminal escape sequences and undecodable bytes."""
    return _IN_MESSAGES.sub(
        lambda found: found.group() if found.group() in "\n\t" else _escaped(found), message
    )


def markdown(text: str) -> str:
    """A text as one line of a Markdown list or cell of a table, nothing in it taken as markup."""
    line = " ".join(printable(text).split())
    # An underscore within a word is no markup.
    line = re.sub(r"([\\`*\[\]|]|(?<!\w)_|_(?!\w))", r"\\\1", line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escaped(found: re.Match[str]) -> str:
    character = found.group()
    code = ord(character)
    if character == "\\":
        return "\\\\"
    if _FIRST_RAW_BYTE + 0x80 <= code <= _FIRST_RAW_BYTE + 0xFF:
        return f"\\x{code - _FIRST_RAW_BYTE:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def _unescaped(found: re.Match[str]) -> str:
    backslash, byte, character = found.groups()
    if backslash:
        return "\\"
    if character:
        return chr(int(character, 16))
    code = int(byte, 16)
    return chr(code if code < 0x80 else _FIRST_RAW_BYTE + code)
