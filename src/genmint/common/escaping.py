r"""Escaping of file names and messages for printing.

A file name may contain anything but a slash and a zero byte: terminal escape sequences, line
breaks, bidirectional control characters, or bytes that are not UTF-8. Printed unescaped, they
change the terminal, break tables, or raise UnicodeEncodeError.
"""

from __future__ import annotations

import re

# Control characters, line and paragraph separators, bidirectional control characters, and
# surrogates. Python reads bytes that are not UTF-8 from disk as surrogates (PEP 383).
_UNSAFE = "\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_IN_NAMES = re.compile(rf"[\\{_UNSAFE}]")
_IN_MESSAGES = re.compile(f"[{_UNSAFE}]")
_ESCAPED = re.compile(r"\\(?:(\\)|x([0-9a-f]{2})|u([0-9a-f]{4}))")
_FIRST_RAW_BYTE = 0xDC00


def escape_name(name: str) -> str:
    r"""Escape a file name or path for printing; `unescape_name` reverses it.

    A backslash becomes `\\`, a control character or a byte that is not UTF-8 `\xNN`, another unsafe
    character `\uNNNN`. Two names are never escaped to the same text.
    """
    return _IN_NAMES.sub(_escaped, name)


def unescape_name(text: str) -> str:
    """Return the name that `escape_name` converted to `text`."""
    return _ESCAPED.sub(_unescaped, text)


def is_utf8(name: str) -> bool:
    """Return whether a file name read from disk is valid UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(message: str) -> str:
    """Escape terminal control sequences and undecodable bytes of a message, but not line breaks."""
    return _IN_MESSAGES.sub(
        lambda match: match.group() if match.group() in "\n\t" else _escaped(match), message
    )


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if character == "\\":
        return "\\\\"
    if _FIRST_RAW_BYTE + 0x80 <= code <= _FIRST_RAW_BYTE + 0xFF:
        return f"\\x{code - _FIRST_RAW_BYTE:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}"


def _unescaped(match: re.Match[str]) -> str:
    backslash, byte, character = match.groups()
    if backslash:
        return "\\"
    if character:
        return chr(int(character, 16))
    code = int(byte, 16)
    return chr(code if code < 0x80 else _FIRST_RAW_BYTE + code)
