"""Files of data sets by checksum: downloaded, copied from a mirror, or stored with the project."""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import zlib
from pathlib import Path

import pooch
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from genmint.common.errors import DataError, SourceUnreachableError
from genmint.common.files import scratch_dir
from genmint.config.base import Frozen
from genmint.data.ingestion.pointers import keeper_of, way_out

MIRROR = "GENMINT_DATA_MIRROR"
_CHUNK = 1 << 20
_TIMEOUT_S = 30


class PinnedFile(Frozen):
    """One file of a data set whose content is known.

    Attributes:
        name: file name after decompression.
        sha256: hash of the decompressed content, since the compression differs between sources.
    """

    name: str
    sha256: str


class RemoteFile(PinnedFile):
    """One file of a named data set.

    Attributes:
        urls: download addresses, tried in order; `.gz` is decompressed.
        mirror: path below the folder GENMINT_DATA_MIRROR.
    """

    urls: tuple[str, ...]
    mirror: str


class StoredFile(PinnedFile):
    """One file of a data set that belongs to the project.

    Attributes:
        path: path relative to the folder of the description; `.gz` is decompressed.
    """

    path: str


def unpack_stored(stored: StoredFile, base: Path, folder: Path) -> Path:
    """Unpack a file of the project into `folder`, verified.

    Args:
        stored: the file.
        base: folder of its description.
        folder: where the decompressed file is written.

    Raises:
        DataError: the file is missing, damaged or a pointer, or its checksum is wrong; no partial
            file is left.
    """
    source = base / stored.path
    way_out = f"Restore it: `git checkout -- {source}`."
    if not source.is_file():
        raise DataError(
            f"{source}: no such file; {stored.name} of the data set is stored there. {way_out}"
        )
    _unpack(source, folder / stored.name, stored, str(source), way_out)
    return folder / stored.name


def fetch(remote: RemoteFile, folder: Path) -> Path:
    """Fetch one file into `folder`, decompressed and verified.

    Raises:
        DataError: the file is neither in the mirror nor available by URL, or its checksum is wrong;
            no partial file is left.
    """
    target = folder / remote.name
    mirror = os.environ.get(MIRROR)
    local = Path(mirror).expanduser() / remote.mirror if mirror else None
    if local is not None and local.is_file():
        _unpack(local, target, remote, str(local))
        return target
    problems = [] if local is None else [f"{local}: no such file"]
    answered = False
    with scratch_dir(folder) as temporary:
        for url in remote.urls:
            try:
                fetched = _download(url, temporary)
            except requests.exceptions.SSLError as error:
                answered = True
                problems.append(f"{url}: no TLS connection: {_first_line(error)}")
                continue
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
        f"at {remote.mirror} in a local folder and set {MIRROR} to that folder."
    )


def _download(url: str, folder: Path) -> Path:
    bar = _Bar(url.rpartition("/")[2]) if sys.stderr.isatty() else None
    # pooch logs every download with its hash as a hint to pin it; the hash is pinned already.
    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(
        progressbar=bar or False, chunk_size=1 << 16, timeout=_TIMEOUT_S
    )
    try:
        # The checksum of the content is verified after decompression; see RemoteFile.
        return Path(
            pooch.retrieve(
                url, known_hash=None, fname="download", path=folder, downloader=downloader
            )
        )
    finally:
        if bar is not None:
            bar.close()


def _unpack(
    packed: Path,
    target: Path,
    pinned: PinnedFile,
    origin: str,
    way_out_of_damage: str = "Remove that copy and fetch it again.",
) -> None:
    keeper = keeper_of(packed)
    if keeper is not None:
        raise DataError(
            f"{origin}: only a pointer of {keeper} to {pinned.name}. "
            f"{way_out(keeper, packed.parent)}"
        )
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
        raise DataError(
            f"{origin}: cannot be unpacked: {_first_line(error)}. {way_out_of_damage}"
        ) from None
    if digest.hexdigest() != pinned.sha256:
        target.unlink(missing_ok=True)
        raise DataError(
            f"{origin}: wrong checksum: the content of {pinned.name} has sha256 "
            f"{digest.hexdigest()}, expected {pinned.sha256}. {way_out_of_damage}"
        )


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


class _Bar:
    """Adapter from pooch's progress bar protocol to rich on stderr."""

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
