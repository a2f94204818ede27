"""Fetching named sets: from a mirror folder first, else by URL; never without a checksum."""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import tempfile
import zlib
from pathlib import Path

import pooch
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from genmint.config.base import Frozen
from genmint.errors import DataError, SourceUnreachableError

MIRROR = "GENMINT_DATA_MIRROR"
_CHUNK = 1 << 20
_TIMEOUT_S = 30


class RemoteFile(Frozen):
    """One file of a named set.

    Attributes:
        name: of the file once it is unpacked.
        urls: where it can be had, tried in turn; `.gz` is unpacked.
        mirror: where it lies below the folder GENMINT_DATA_MIRROR.
        sha256: of the unpacked content, since the wrapping differs from place to place.
    """

    name: str
    urls: tuple[str, ...]
    mirror: str
    sha256: str


def fetch(remote: RemoteFile, folder: Path) -> Path:
    """Put one file into `folder`, unpacked and checked.

    Raises:
        DataError: neither in the mirror nor to be had by URL, or its checksum is wrong; nothing
            of it stays behind.
    """
    target = folder / remote.name
    mirror = os.environ.get(MIRROR)
    local = Path(mirror).expanduser() / remote.mirror if mirror else None
    if local is not None and local.is_file():
        _unpack(local, target, remote, str(local))
        return target
    problems = [] if local is None else [f"{local}: no such file"]
    answered = False
    with tempfile.TemporaryDirectory(prefix=".fetch.", dir=folder) as temporary:
        for url in remote.urls:
            try:
                fetched = _download(url, Path(temporary))
            except (requests.ConnectionError, requests.Timeout):
                problems.append(f"{url}: no connection")
                continue
            except (requests.RequestException, OSError, ValueError) as error:
                answered = True
                problems.append(f"{url}: {_first_line(error)}")
                continue
            _unpack(fetched, target, remote, url)
            return target
    raise (DataError if answered else SourceUnreachableError)(
        f"{remote.name} cannot be fetched ({'; '.join(problems)}). Without internet, put the file "
        f"at {remote.mirror} in a folder of yours and set {MIRROR} to that folder."
    )


def _download(url: str, folder: Path) -> Path:
    bar = _Bar(url.rpartition("/")[2]) if sys.stderr.isatty() else None
    # pooch would announce every download and its hash as a warning to pin it; ours is pinned.
    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(
        progressbar=bar or False, chunk_size=1 << 16, timeout=_TIMEOUT_S
    )
    try:
        # The content's checksum is checked after unpacking; see RemoteFile.
        return Path(
            pooch.retrieve(
                url, known_hash=None, fname="download", path=folder, downloader=downloader
            )
        )
    finally:
        if bar is not None:
            bar.close()


def _unpack(packed: Path, target: Path, remote: RemoteFile, origin: str) -> None:
    digest = hashlib.sha256()
    with packed.open("rb") as stream:
        zipped = stream.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(packed) if zipped else packed.open("rb") as stream, target.open("wb") as out:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                out.write(chunk)
    except (OSError, EOFError, zlib.error) as error:
        target.unlink(missing_ok=True)
        raise DataError(f"{origin}: cannot be unpacked: {_first_line(error)}") from None
    if digest.hexdigest() != remote.sha256:
        target.unlink(missing_ok=True)
        raise DataError(
            f"{origin}: wrong checksum: the content of {remote.name} has sha256 "
            f"{digest.hexdigest()}, expected {remote.sha256}. Remove that copy and fetch it again."
        )


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


class _Bar:
    """pooch's protocol for progress bars, drawn by rich on stderr."""

    def __init__(self, name: str) -> None:
        self.total = 0
        columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task(name, total=None)
        self._progress.start()

    def update(self, count: int) -> None:
        self._progress.update(self._task, advance=count, total=self.total or None)

    def reset(self) -> None:
        self._progress.reset(self._task)

    def close(self) -> None:
        self._progress.stop()
