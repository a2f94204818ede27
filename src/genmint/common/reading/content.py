"""Reading of files up to a size limit, and decoding of text."""

from __future__ import annotations

import re
from pathlib import Path

from genmint.common.errors import GenmintError

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_CONFLICT = re.compile(r"^<{7} ", re.MULTILINE)
_SHOWN = 120
# read() allocates memory for the requested size before it reads.
_PIECE = 1 << 20


def read_bytes(
    path: Path, limit: int, way_out: str = "", error: type[GenmintError] = GenmintError
) -> bytes:
    """Read a whole file of at most `limit` bytes.

    Args:
        path: path of the file.
        limit: maximum size in bytes.
        way_out: last sentence of each message.
        error: class of the exception.

    Raises:
        GenmintError: the file does not exist, is not a regular file, is not readable, or is larger
            than `limit`.
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
    """Decode UTF-8; drop a byte order mark at the start and keep line ends.

    Args:
        data: content of the file.
        where: start of each message.
        way_out: last sentence of each message.
        error: class of the exception.

    Raises:
        GenmintError: the data are not UTF-8.
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
    """Return advice about git's conflict markers if a text contains one, else ""."""
    marker = _CONFLICT.search(text)
    if marker is None:
        return ""
    line = text.count("\n", 0, marker.start()) + 1
    return f" Line {line} is a conflict marker of git: resolve the conflict."


def shortened(value: object, limit: int = _SHOWN) -> str:
    """Return the repr of a value for a message, cut off beyond `limit` characters."""
    if isinstance(value, str) and len(value) > limit:
        shown = repr(value[:limit])
        return f"{shown[:limit]}… ({len(value)} characters)"
    shown = repr(value)
    return shown if len(shown) <= limit else f"{shown[:limit]}…"
