"""Fetching: the mirror first, then each URL; a wrong checksum leaves nothing behind."""

import functools
import gzip
import http.server
import threading

import pytest
from tests.data.ingestion.test_pointers import LFS

from genmint.common.errors import DataError
from genmint.common.files import sha256_bytes
from genmint.data.ingestion.fetch import MIRROR, RemoteFile, fetch

CONTENT = b"what the file holds\n" * 1000


@pytest.fixture
def server(tmp_path):
    """A web server on loopback; yields its folder and its address."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{found.server_address[1]}"
        found.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path, monkeypatch):
    monkeypatch.delenv(MIRROR, raising=False)
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def remote(*urls, sha256=None):
    return RemoteFile(
        name="file", urls=urls, mirror="sets/file.gz", sha256=sha256 or sha256_bytes(CONTENT)
    )


def test_a_mirror_that_holds_only_pointers_is_named(tmp_path, target, monkeypatch):
    monkeypatch.setenv(MIRROR, str(tmp_path))
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "file.gz").write_text(LFS)
    with pytest.raises(DataError, match=r"only a pointer of Git LFS to file\. Run `git lfs pull`"):
        fetch(remote(), target)
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("packed", [True, False])
def test_from_a_url_unpacked(server, target, packed):
    folder, address = server
    (folder / "file").write_bytes(gzip.compress(CONTENT) if packed else CONTENT)
    fetch(remote(f"{address}/file"), target)
    assert (target / "file").read_bytes() == CONTENT
    assert [path.name for path in target.iterdir()] == ["file"]


def test_the_next_url_where_the_first_fails(server, target):
    folder, address = server
    (folder / "file").write_bytes(CONTENT)
    fetch(remote(f"{address}/missing", "http://127.0.0.1:9/refused", f"{address}/file"), target)
    assert (target / "file").read_bytes() == CONTENT


def test_the_mirror_goes_first(server, target, tmp_path, monkeypatch):
    _, address = server
    mirror = tmp_path / "mirror"
    (mirror / "sets").mkdir(parents=True)
    (mirror / "sets" / "file.gz").write_bytes(gzip.compress(CONTENT))
    monkeypatch.setenv(MIRROR, str(mirror))
    fetch(remote(f"{address}/missing"), target)
    assert (target / "file").read_bytes() == CONTENT


def test_a_mirror_without_the_file_leaves_it_to_the_url(server, target, tmp_path, monkeypatch):
    folder, address = server
    (folder / "file").write_bytes(CONTENT)
    monkeypatch.setenv(MIRROR, str(tmp_path / "nowhere"))
    fetch(remote(f"{address}/file"), target)
    assert (target / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_wrong_checksum_is_an_error_and_leaves_nothing(
    server, target, tmp_path, monkeypatch, mirrored
):
    folder, address = server
    (folder / "file").write_bytes(b"something else")
    if mirrored:
        (tmp_path / "sets").mkdir()
        (tmp_path / "sets" / "file.gz").write_bytes(gzip.compress(b"something else"))
        monkeypatch.setenv(MIRROR, str(tmp_path))
    with pytest.raises(
        DataError, match=r"wrong checksum: the content of file has sha256 f41f3fa6"
    ) as e:
        fetch(remote(f"{address}/file"), target)
    assert ("file.gz" if mirrored else address) in str(e.value)
    assert list(target.iterdir()) == []


def test_damaged_gzip_is_an_error_and_leaves_nothing(server, target):
    folder, address = server
    (folder / "file").write_bytes(gzip.compress(CONTENT)[:-20])
    with pytest.raises(DataError, match="cannot be unpacked"):
        fetch(remote(f"{address}/file"), target)
    assert list(target.iterdir()) == []


def test_nowhere_to_be_had_names_every_place_and_the_remedy(server, target):
    _, address = server
    with pytest.raises(DataError, match="GENMINT_DATA_MIRROR") as error:
        fetch(remote(f"{address}/missing", "http://127.0.0.1:9/refused"), target)
    assert "404" in str(error.value)
    assert "http://127.0.0.1:9/refused: no connection" in str(error.value)
    assert list(target.iterdir()) == []


def test_a_person_sees_how_far_it_is(server, target, monkeypatch, capsys):
    folder, address = server
    (folder / "file").write_bytes(CONTENT)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    fetch(remote(f"{address}/missing", f"{address}/file"), target)
    assert (target / "file").read_bytes() == CONTENT
    shown = capsys.readouterr()
    assert "kB" in shown.err
    assert shown.out == ""
