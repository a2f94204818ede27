"""Stages and verbs without disk or memory: one line, nothing partial."""

import contextlib
import logging
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from ruamel.yaml import YAML
from tests.common.full import largest_file

from genmint import cli

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
    (tmp_path / "config").symlink_to(checkout / "config")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sources").symlink_to(checkout / "data" / "sources")
    make_sources(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files_of(root):
    """Every file that a stage or verb writes, with its content; not what tools keep for later."""
    kept = (".genmint", "mlflow.db", "mlartifacts", "own", "config")
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
    [
        pytest.param("picture", "pictures", "x.png", marks=pytest.mark.soak),
        pytest.param("sound", "sounds", "x.wav", marks=pytest.mark.soak),
        ("word", "words", "x.txt"),
    ],
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
    from genmint.common.files import sha256_file, write_json
    from genmint.common.project import Project
    from genmint.data import manifest, quarantine

    project = Project(root)
    quarantine.write(project.quarantine(dataset), [])
    digest, items = (each(project.manifest(dataset)) for each in (sha256_file, manifest.rows))
    report = {"dataset": dataset, "kind": "x", "passed": 1, "items": items, "quarantined": 0,
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
from genmint.evaluation.extractor import Extractor
from genmint.evaluation.extractor_training import Examples, Subject, train_extractor
from genmint.metrics.memorisation import grid_memorisation
from genmint.metrics.ngram import NGram
from genmint.metrics.pixels import mean_plus_noise, pixel_bernoulli

torch.set_num_threads(1)
grids = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (120, 1, 256, 256), np.uint8))
rows = grids.flatten(1).numpy()
steps = {
    "features": lambda: Extractor((1, 256, 256), 4).eval().features(grids),
    "extractor": lambda: train_extractor(
        Examples(grids[:64], None), Examples(grids[64:], None), Subject("rotation", 4), epochs=1,
        seed=0,
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


@pytest.mark.soak
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
