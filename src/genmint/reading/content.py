"""Bytes of a file, up to a limit, and their text."""

from __future__ import annotations

import re
from pathlib import Path

from genmint.errors import GenmintError

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_CONFLICT = re.compile(r"^<{7} ", re.MULTILINE)
_SHOWN = 120
# Memory for all that is asked for is taken before anything is read.
_PIECE = 1 << 20


def read_bytes(
    path: Path, limit: int, way_out: str = "", error: type[GenmintError] = GenmintError
) -> bytes:
    """Read a whole file of at most `limit` bytes.

    Args:
        path: of the file.
        limit: in bytes.
        way_out: last sentence of each message.
        error: class of the exception.

    Raises:
        GenmintError: no such file, not a file, not readable, or larger than `limit`.
    """
    try:
        if path.exists() and not path.is_file():
            raise error(f"{path}: not a file. {way_out}".strip())
        pieces, size = [], 0
        with path.open("rb") as stream:
            while size <= limit and (piece := stream.read(_PIECE)):
                pieces.append(piece)
                size += len(piece)
    except FileNotFoundError:
        raise error(f"{path}: no such file. {way_out}".strip()) from None
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror}. {way_out}".strip()) from None
    if size > limit:
        raise error(f"{path}: more than {limit} bytes, which is the limit. {way_out}".strip())
    return b"".join(pieces)


def decoded(
    data: bytes, where: str, way_out: str = "", error: type[GenmintError] = GenmintError
) -> str:
    """Decode UTF-8; a byte order mark at the start is dropped, line ends stay as they are.

    Args:
        data: of the file.
        where: what messages begin with.
        way_out: last sentence of each message.
        error: class of the exception.

    Raises:
        GenmintError: not UTF-8.
    """
    if data.startswith(_UTF_16):
        raise error(f"{where}: not UTF-8, but UTF-16; save it as UTF-8. {way_out}".strip())
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        before = data[: problem.start]
        line, column = before.count(b"\n") + 1, problem.start - (before.rfind(b"\n") + 1) + 1
        raise error(
            f"{where}: line {line}, byte {column} of the line: not UTF-8 "
            f"(byte 0x{data[problem.start]:02x}). {way_out}".strip()
        ) from None


def conflict(text: str) -> str:
    """What to do about git's conflict markers, if a text has some; else nothing."""
    marker = _CONFLICT.search(text)
    if marker is None:
        return ""
    line = text.count("\n", 0, marker.start()) + 1
    return f" Line {line} is a conflict marker of git: resolve the conflict."


def shortened(value: object, limit: int = _SHOWN) -> str:
    """Show a value in a message: its repr on one line, cut in the middle beyond `limit`."""
    if isinstance(value, str) and len(value) > limit:
        shown = repr(value[:limit])
        return f"{shown[:limit]}… ({len(value)} characters)"
    shown = repr(value)
    return shown if len(shown) <= limit else f"{shown[:limit]}…"
