"""A full disk and a full memory: one clear line, exit code 1, and nothing partial."""

import errno
import os
import shutil
import tempfile
import wave
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from PIL import Image
from safetensors.torch import save_file
from tests.common.full import largest_file

from genmint.common import file_lock
from genmint.common.errors import (
    DataError,
    DiskFullError,
    GenmintError,
    MemoryFullError,
    RegistryMissingError,
)
from genmint.common.exhaustion import exhaustion_error
from genmint.common.files import all_or_none, atomic_dir, atomic_path, scratch_dir

NOISE = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8)


def write_wave(path):
    with wave.open(str(path), "wb") as stream:
        stream.setparams((1, 2, 8000, 0, "NONE", ""))
        stream.writeframes(NOISE.tobytes())


def write_sound(path):
    soundfile.write(path, NOISE.astype(np.int16), 8000, subtype="PCM_16", format="WAV")


def write_array(path):
    with path.open("wb") as stream:
        np.save(stream, NOISE)


WRITERS = {
    "bytes": lambda path: path.write_bytes(NOISE.tobytes()),
    "text": lambda path: path.write_text("a" * 300_000),
    "numpy": write_array,
    "torch": lambda path: torch.save({"a": torch.from_numpy(NOISE)}, path),
    "safetensors": lambda path: save_file({"a": torch.from_numpy(NOISE)}, path),
    "libsndfile": write_sound,
    "wave": write_wave,
    "parquet": lambda path: pq.write_table(pa.table({"a": NOISE}), path),
    "png": lambda path: Image.fromarray(NOISE.reshape(500, 600)).save(path, format="PNG"),
}


@pytest.mark.parametrize("library", WRITERS)
def test_every_library_that_writes_ends_in_the_same_line(tmp_path, library):
    target = tmp_path / "out"
    target.write_text("old")

    def in_a_file():
        with atomic_path(target) as temporary:
            WRITERS[library](temporary)

    def in_a_folder():
        with atomic_dir(tmp_path / "folder") as folder:
            WRITERS[library](folder / "part")

    for write, path in ((in_a_file, target), (in_a_folder, tmp_path / "folder")):
        with largest_file(100_000), pytest.raises(DiskFullError) as caught:
            write()
        assert str(caught.value) == (
            f"file size limit reached while writing {path}; raise the limit (ulimit -f) and run "
            "the same command again"
        )
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_from_other_failures(tmp_path, number):
    def fails(error):
        with atomic_path(tmp_path / "out"):
            raise error

    with pytest.raises(DiskFullError, match=r"while writing .*/out; free space and run the same"):
        fails(OSError(number, os.strerror(number)))
    with pytest.raises(PermissionError):
        fails(PermissionError(errno.EACCES, "Permission denied"))
    with pytest.raises(RuntimeError, match="not of the disk"):
        fails(RuntimeError("not of the disk"))


def test_a_lock_without_space_for_its_note_is_named(tmp_path):
    path = tmp_path / "a.lock"
    with largest_file(0), pytest.raises(DiskFullError, match=r"while writing .*/a\.lock;"):  # noqa: SIM117
        with file_lock.hold_lock(path, "a", "the lock"):
            raise AssertionError("held")
    with file_lock.hold_lock(path, "a", "the lock"):
        assert path.read_text().startswith("a, process ")


def test_temporary_files_without_space_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def fails(write):
        with scratch_dir() as folder:
            write(folder)

    def library(folder):
        (folder / "a").write_bytes(b"a")
        raise RuntimeError("inline_container.cc: unexpected pos")

    def registry(_):
        raise RegistryMissingError("no such artefact")

    with largest_file(100):
        for write in (lambda folder: (folder / "a").write_bytes(bytes(200)), library, registry):
            temporary = r"while writing .*/\.genmint\.\w+\.tmp \(temporary"
            with pytest.raises(DiskFullError, match=temporary):
                fails(write)
    with pytest.raises(RegistryMissingError):
        fails(registry)
    with pytest.raises(RuntimeError, match="unexpected pos"):
        fails(library)
    assert list(tmp_path.iterdir()) == []


def test_what_is_full_elsewhere_is_not_called_a_temporary_file(tmp_path):
    with largest_file(100), pytest.raises(DiskFullError, match=r"while writing .*/out;"):  # noqa: SIM117
        with scratch_dir(), atomic_path(tmp_path / "out") as target:
            target.write_bytes(bytes(200))


def test_no_space_for_any_temporary_file_is_a_full_disk(tmp_path, monkeypatch):
    """Python calls it "no such file", and again when it is asked for the folder."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path)])
    usage = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with largest_file(0), pytest.raises(DiskFullError, match="disk full while writing temporary"):  # noqa: SIM117
        with scratch_dir():
            raise AssertionError("made")
    error = FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
    assert f"disk full while writing a file (below {Path.cwd()})" in str(
        exhaustion_error(error, "report")
    )
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 30))
    assert exhaustion_error(error, "report") is None


def test_a_message_that_hides_a_full_disk_is_replaced(tmp_path):
    hidden = DataError("x.gz: cannot be unpacked")
    hidden.__context__ = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(DiskFullError, match=r"disk full while writing .*/raw;"):  # noqa: SIM117
        with atomic_dir(tmp_path / "raw"):
            raise hidden


def test_outputs_that_refer_to_each_other_go_together(tmp_path):
    (tmp_path / "folder").mkdir()

    def write():
        with all_or_none(tmp_path / "a", tmp_path / "folder", tmp_path / "never"):
            (tmp_path / "a").write_text("1")
            raise DiskFullError("full")

    with pytest.raises(DiskFullError):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((9,), np.dtype("u1")),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] data. DefaultCPUAllocator: can't allocate memory: "
            "you tried to allocate 4000 bytes. Error code 12 (Cannot allocate memory)"
        ),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        pa.ArrowMemoryError("malloc of size 9 failed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_out_of_memory_names_the_setting_to_lower(error):
    found = exhaustion_error(error, "train", "image-vae")
    assert isinstance(found, MemoryFullError)
    assert "Lower batch_size (or bptt, hidden) of models.image-vae" in str(found)
    assert "\n" not in str(found)


def test_other_failures_stay_what_they_are():
    assert exhaustion_error(RuntimeError("shapes differ"), "train", "a") is None
    assert exhaustion_error(GenmintError("no such file"), "train", "a") is None
    assert exhaustion_error(OSError(errno.EACCES, "Permission denied"), "train", "a") is None
