"""A full disk and a full memory: one clear line, exit code 1, and nothing partial."""

import contextlib
import errno
import logging
import os
import resource
import shutil
import subprocess
import sys
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
from ruamel.yaml import YAML
from safetensors.torch import save_file

from genmint import cli, file_lock
from genmint.errors import (
    DataError,
    DiskFullError,
    GenmintError,
    MemoryFullError,
    RegistryMissingError,
)
from genmint.exhaustion import explained
from genmint.files import all_or_none, atomic_dir, atomic_path, scratch_dir

NOISE = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8)


@contextlib.contextmanager
def largest_file(size):
    """No file of this process may grow beyond `size` bytes: EFBIG, as ENOSPC on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


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
        with file_lock.held(path, "a", "the lock"):
            raise AssertionError("held")
    with file_lock.held(path, "a", "the lock"):
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
            with pytest.raises(DiskFullError, match=r"while writing .*/genmint-\w+ \(temporary"):
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
    assert f"disk full while writing a file (below {Path.cwd()})" in str(explained(error, "report"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 30))
    assert explained(error, "report") is None


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
    found = explained(error, "train", "image-vae")
    assert isinstance(found, MemoryFullError)
    assert "Lower batch_size (or bptt, hidden) of models.image-vae" in str(found)
    assert "\n" not in str(found)


def test_other_failures_stay_what_they_are():
    assert explained(RuntimeError("shapes differ"), "train", "a") is None
    assert explained(GenmintError("no such file"), "train", "a") is None
    assert explained(OSError(errno.EACCES, "Permission denied"), "train", "a") is None


PROTOCOL = {"samples": 8, "importance_samples": 2, "batch_size": 8, "resamples": 2}
PARAMS = {
    "datasets": {
        "pictures": {
            "path": "own/pictures",
            "kind": "image",
            "resolution": 8,
            "labels": "folder",
            "split": "position",
            "protocol": PROTOCOL,
            "reference": {"epochs": 1},
        },
        "sounds": {
            "path": "own/sounds",
            "kind": "audio",
            "sample_rate": 2000,
            "seconds": 0.128,
            "spectrogram": {"n_fft": 64, "hop": 32, "mels": 8},
            "protocol": PROTOCOL,
            "reference": {"epochs": 1},
        },
        "words": {
            "path": "own/words",
            "kind": "text",
            "protocol": PROTOCOL | {"sample_length": 40},
        },
    },
    "models": {
        "picture": {
            "family": "vae", "dataset": "pictures", "hidden": [8], "latent": 2, "steps": 2,
        },
        "sound": {"family": "rnn", "dataset": "sounds", "hidden": 4, "steps": 1, "bptt": 16},
        "word": {"family": "rnn", "dataset": "words", "hidden": 4, "steps": 1, "bptt": 16},
    },
    "gates": {
        "picture": {"thresholds": {"elbo": {"min": -1e6}}, "champion": {"superior": ["elbo"]}},
    },
}  # fmt: skip


def make_sources(root):
    """Sources of three kinds, just large enough for every split."""
    rng = np.random.default_rng(0)
    for number in range(60):
        folder = root / "own" / "pictures" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        sounds = root / "own" / "sounds" / f"{number}.wav"
        sounds.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(sounds, rng.normal(0, 0.1, 256), 2000, subtype="PCM_16")
        words = root / "own" / "words" / f"{number}.txt"
        words.parent.mkdir(parents=True, exist_ok=True)
        words.write_text("".join(rng.choice(list("abcdef   "), 240)))


@pytest.fixture
def sources(tmp_path, copy_store, no_tracker, monkeypatch):
    checkout = Path(cli.__file__).parents[2]
    copy_store(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    YAML().dump(PARAMS, tmp_path / "params.yaml")
    for name in ("gx", "recipes"):
        (tmp_path / name).symlink_to(checkout / name)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sources").symlink_to(checkout / "data" / "sources")
    make_sources(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files_of(root):
    """Every file that a stage or verb writes, with its content; not what tools keep for later."""
    kept = (".genmint", "mlflow.db", "mlartifacts", "own", "gx", "recipes")
    return {
        path: path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] not in kept
    }


def verbs(name, dataset, out):
    stages = [("ingest", dataset), ("validate", dataset), ("prepare", dataset)]
    stages += [("reference", dataset), ("train", name), ("evaluate", name), ("gate", name)]
    used = [("sample", name, "-n", "4", "--out", out)]
    if name == "picture":
        used += [("encode", name, "--out", "z.csv"), ("encode", name, "--out", "z.parquet")]
        used += [("explore", name, "--out", "x.html"), ("report",), ("add", "mnist-vae")]
    return [*stages, *used]


def leftovers(root):
    return [path for path in root.rglob("*.tmp") if ".genmint" not in path.parts]


@pytest.fixture
def without_prefect():
    """Prefect's handlers of an earlier test in this process log into a file of pytest's own."""
    root = logging.getLogger()
    others = [each for each in root.handlers if type(each).__module__.startswith("prefect.")]
    for handler in others:
        root.removeHandler(handler)
    yield
    for handler in others:
        root.addHandler(handler)


@pytest.mark.usefixtures("without_prefect")
@pytest.mark.parametrize(
    ("name", "dataset", "out"),
    [("picture", "pictures", "x.png"), ("sound", "sounds", "x.wav"), ("word", "words", "x.txt")],
)
def test_each_stage_and_verb_ends_in_one_line_and_leaves_nothing_partial(
    sources, capsys, name, dataset, out
):
    for verb in verbs(name, dataset, out):
        if verb[0] == "validate" and name != "picture":
            # The same code for all kinds, and Great Expectations takes its time.
            let_in(sources, dataset)
            continue
        before = files_of(sources)
        with largest_file(20):
            assert cli.run(verb) == 1, verb
        told = capsys.readouterr().err
        assert "Traceback" not in told, verb
        lines = [line for line in told.splitlines() if line.startswith(f"genmint {verb[0]}: ")]
        assert len(lines) == 1, told
        assert "file size limit reached while writing" in lines[0], lines
        # What was there is as it was, or gone where it belongs to what failed.
        after = files_of(sources)
        assert after == {path: before[path] for path in after}, verb
        assert leftovers(sources) == []
        assert cli.run(verb) == 0, verb
        capsys.readouterr()


def let_in(root, dataset):
    from genmint.files import sha256_file, write_json
    from genmint.project import Project

    project = Project(root)
    path = project.quarantine(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("id,path,reason\n")
    digest = sha256_file(project.manifest(dataset))
    report = {"dataset": dataset, "kind": "x", "passed": 1, "items": 60, "quarantined": 0,
              "max_quarantined": 0.02}  # fmt: skip
    write_json(project.validation(dataset), report | {"manifest": digest})


def test_output_that_is_cut_short_is_a_failure(sources):
    """`genmint … > FILE` on a full disk."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "genmint", "add"],
            cwd=sources, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "genmint add: disk full while writing standard output; free space and run the same "
        "command again\n"
    )


@contextlib.contextmanager
def address_space(more):
    """This process may not get more than so many bytes beyond what it has now."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_training_run_without_memory_is_one_line_that_names_what_to_lower(
    by_hand, tmp_path, monkeypatch, capsys
):
    root = tmp_path / "project"
    by_hand(root, HUGE)
    monkeypatch.chdir(root)
    with address_space(300_000_000):
        assert cli.run(("train", "huge")) == 1
    told = capsys.readouterr().err
    assert "genmint train: out of memory (" in told
    assert "Lower batch_size (or bptt, hidden) of models.huge" in told
    assert "Traceback" not in told
    assert not (root / "models" / "huge").exists()


HUGE = """\
datasets:
  dots: {path: own, kind: image, resolution: 8}
models:
  huge: {family: vae, dataset: dots, hidden: [20000, 20000], latent: 2, steps: 1}
gates: {}
"""

# Peaks of single steps of `reference` on 120 grey images of 256×256 (8 MB), in MB beyond what was
# taken before them.
PEAKS = """
import os, resource, sys
import numpy as np, torch
from genmint.metrics.extractor import Extractor, train_extractor
from genmint.metrics.memorisation import grid_memorisation
from genmint.metrics.ngram import NGram
from genmint.metrics.pixels import mean_plus_noise, pixel_bernoulli

torch.set_num_threads(1)
grids = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (120, 1, 256, 256), np.uint8))
rows = grids.flatten(1).numpy()
steps = {
    "features": lambda: Extractor(1, 4).eval().features(grids),
    "extractor": lambda: train_extractor(
        grids[:64], None, classes=4, task="rotation", epochs=1, seed=0
    ),
    "ngram": lambda: NGram(2, 256).fit(np.repeat(rows, 2, 0)).totals(np.repeat(rows, 2, 0)),
    "noise": lambda: mean_plus_noise(grids, 120, 0),
    "bernoulli": lambda: pixel_bernoulli(grids, grids, 0),
    "memorisation": lambda: grid_memorisation(grids[:20], grids, grids[20:40], seed=0),
}
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
for name in sys.argv[1:]:
    # Each in a process of its own, since a peak is never forgotten; imports are there already.
    child = os.fork()
    if child == 0:
        before = peak()
        steps[name]()
        print(name, peak() - before, flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def peaks_of(*steps):
    done = subprocess.run(
        [sys.executable, "-c", PEAKS, *steps], capture_output=True, text=True, check=True
    )
    found = {step: int(peak) for step, peak in map(str.split, done.stdout.splitlines())}
    assert list(found) == list(steps)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
def test_memory_is_counted_in_bytes_and_not_in_items():
    """In parts of as many items as of 8×8 images these took about 1,200 MB each."""
    found = peaks_of("features", "extractor", "ngram")
    assert max(found.values()) < 500, found


@pytest.mark.soak
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
def test_memory_of_further_steps_is_counted_in_bytes():
    found = peaks_of("noise", "bernoulli", "memorisation")
    assert max(found.values()) < 500, found
