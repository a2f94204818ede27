"""A parser that is fed with mutated files, and how it reads one."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Larger seeds take long to mutate and to read.
SMALL = 20_000


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        name: for reports.
        seeds: files to mutate.
        call: reads one file, given what it holds.
        share: of the inputs, relative to the other targets.
    """

    name: str
    seeds: list[bytes]
    call: Callable[[bytes], object]
    share: int = 4


def file(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    path.parent.mkdir(parents=True, exist_ok=True)

    def call(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return call


def restoring(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """As `file`; the file is then what it was, for the targets that read it beside theirs."""
    whole, call = path.read_bytes(), file(path, read)

    def restoring(data: bytes) -> object:
        try:
            return call(data)
        finally:
            path.write_bytes(whole)

    return restoring


def json_bytes(document) -> bytes:
    return json.dumps(document).encode()
