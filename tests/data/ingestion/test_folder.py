"""Pipes, sockets and devices in a folder: named without being opened, since DVC would wait."""

import os
import signal
import subprocess
import sys

import pytest

from genmint.common.errors import DataError
from genmint.data.ingestion.folder import NOT_COPIED, Folder
from genmint.data.ingestion.readers import UnreadableError

WAYS_OUT = "remove it, or move it out of the folder"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.txt").write_text("words")
    return Folder(tmp_path / "own", False, lambda: ())


@pytest.fixture(autouse=True)
def in_time():
    """What opens a pipe here waits for ever: it is interrupted instead."""

    def late(*_):
        raise TimeoutError("something was opened that nobody writes into")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_a_pipe_is_refused_by_name_and_never_opened(folder):
    os.mkfifo(folder.root / "pipe")
    (folder.root / "link.txt").symlink_to("pipe")
    assert folder.listing((".txt",), "text").paths == ("a.txt", "link.txt", "pipe")
    for name, what in (("pipe", "named pipe"), ("link.txt", "symbolic link to a named pipe")):
        said = f"{what} (FIFO), not a regular file: DVC waits for it forever; {WAYS_OUT}"
        with pytest.raises(UnreadableError) as caught:
            folder.file(name)
        assert str(caught.value) == said
        assert f"{name}: {said}" in folder.stops_dvc()


def test_a_hidden_pipe_is_left_out_and_named_since_dvc_opens_it(folder):
    os.mkfifo(folder.root / ".agent")
    listing = folder.listing((".txt",), "text")
    assert listing.paths == ("a.txt",)
    assert [(each.reason, each.files) for each in listing.left_out] == [("hidden", 1)]
    assert [each.partition(" (")[0] for each in folder.stops_dvc()] == [".agent: named pipe"]


def test_devices_are_named(folder):
    (folder.root / "zero").symlink_to("/dev/zero")
    assert folder.stops_dvc() == [
        "zero: symbolic link to a device file, not a regular file: DVC may read it endlessly; "
        f"{WAYS_OUT}"
    ]


def test_a_pipe_in_the_place_of_the_note_on_a_copy_is_named(folder):
    os.mkfifo(folder.root / NOT_COPIED)
    with pytest.raises(DataError, match=r"genmint-not-copied\.json: named pipe .*; remove it"):
        folder.listing((".txt",), "text")


def test_a_copy_refuses_what_the_folder_refused(folder, tmp_path):
    os.mkfifo(folder.root / "pipe.pdf")
    folder.copy(tmp_path / "copy")
    copy = Folder(tmp_path / "copy", False, lambda: ())
    assert not (copy.root / "pipe.pdf").exists()
    assert copy.listing((".txt",), "text") == folder.listing((".txt",), "text")
    with pytest.raises(UnreadableError, match="named pipe"):
        copy.file("pipe.pdf")
    # What is not there cannot make DVC wait.
    assert copy.stops_dvc() == []


@pytest.mark.slow
def test_dvc_waits_for_a_pipe_and_for_none_that_dvcignore_lists(folder):
    """Why all this: it fails when DVC learns to refuse them by itself."""
    root = folder.root.parent
    dvc = [sys.executable, "-m", "dvc"]
    (root / "dvc.yaml").write_text("stages: {x: {cmd: 'true', deps: [own]}}\n")
    for command in (["git", "init", "-q"], [*dvc, "init", "-q"]):
        subprocess.run(command, cwd=root, check=True)
    os.mkfifo(folder.root / "pipe")
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([*dvc, "repro", "-q"], cwd=root, check=False, timeout=8)
    (root / ".dvcignore").write_text("own/pipe\n")
    subprocess.run([*dvc, "repro", "-q"], cwd=root, check=True, timeout=15)
