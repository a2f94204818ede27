import hashlib
import json
import os
import signal
import stat
import subprocess
import sys

import pytest

from genmint.common.errors import GenmintError
from genmint.common.files import (
    atomic_dir,
    atomic_path,
    create_private,
    read_json,
    scratch_dir,
    sha256_bytes,
    sha256_file,
    sha256_folder,
    sha256_json,
    write_json,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("killed here")

    with pytest.raises(RuntimeError):
        write()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_folder_leaves_the_old_one_and_nothing_else(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "a").write_text("old")

    def write():
        with atomic_dir(target) as temporary:
            (temporary / "a").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert (target / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "folder"
    for content in ("one", "two"):
        with atomic_dir(target) as temporary:
            (temporary / content).write_text(content)
    assert [path.name for path in target.iterdir()] == ["two"]


def test_others_may_read_what_was_written(tmp_path):
    old = os.umask(0o022)
    try:
        write_json(tmp_path / "a.json", {"a": 1})
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o644


def test_nan_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_reading_tells_the_remedy(tmp_path):
    with pytest.raises(GenmintError, match=r"a.json: no such file. Run that."):
        read_json(tmp_path / "a.json", "Run that.")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(GenmintError, match=r"a.json: not valid JSON"):
        read_json(tmp_path / "a.json")


def test_hashes_are_sha256(tmp_path):
    data = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert sha256_file(tmp_path / "a") == sha256_bytes(data) == expected


def test_the_hash_of_json_does_not_depend_on_order():
    assert sha256_json({"a": 1, "b": [1, 2]}) == sha256_json({"b": [1, 2], "a": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": 2})
    assert sha256_json({"a": 1}) == sha256_bytes(
        json.dumps({"a": 1}, separators=(",", ":")).encode()
    )


WRITER = """\
import sys, time
from pathlib import Path
from genmint.common import files
with getattr(files, sys.argv[1])(Path(sys.argv[2])) as temporary:
    print(temporary.name, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path):
    """Starts a process that is in the middle of writing `target`; returns it and what it makes."""
    started = []

    def start(kind, target):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, kind, str(target)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process, tmp_path / process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def write(kind, target):
    if kind == "atomic_dir":
        with atomic_dir(target) as folder:
            (folder / "a").write_text("new")
    else:
        write_json(target, ["new"])


@pytest.mark.parametrize("kind", ["atomic_path", "atomic_dir"])
def test_the_next_writer_removes_what_a_dead_one_left_and_only_that(tmp_path, writer, kind):
    target = tmp_path / "set[1].json"
    process, left = writer(kind, target)
    # Files that only look alike: of another target, and not of eight characters.
    others = [tmp_path / ".set1.json.abcdefgh.tmp", tmp_path / ".set[1].json.abc.tmp"]
    for other in others:
        other.write_text("")
    # While its writer lives, another writer leaves it alone.
    write(kind, target)
    assert left.exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert left.exists()
    write(kind, target)
    assert sorted(tmp_path.iterdir()) == sorted([target, *others])


def test_the_next_process_removes_what_a_dead_one_left_among_temporary_files(tmp_path, writer):
    process, left = writer("scratch_dir", tmp_path)
    with scratch_dir(tmp_path):
        assert left.exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    with scratch_dir(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_a_private_file_is_its_owners_alone_and_written_once(tmp_path):
    path = tmp_path / "secret"
    assert create_private(path, "first")
    assert not create_private(path, "second")
    assert path.read_text() == "first"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_hash_of_a_folder_is_that_of_paths_and_contents(tmp_path):
    folder = tmp_path / "folder"
    for name in ("a", "b/c", "b/__pycache__/c.pyc", "left/out", "left.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    found = sha256_folder(folder, ["left", "left.txt"])
    assert found == sha256_json({name: sha256_bytes(name.encode()) for name in ("a", "b/c")})
    (folder / "a").rename(folder / "d")
    assert sha256_folder(folder, ["left", "left.txt"]) != found
    assert sha256_folder(folder) != sha256_folder(folder, ["left"])
