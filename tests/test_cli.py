"""The command line as a person meets it: in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

VERBS = [
    *(
        "gate",
        "promote",
        "journal",
        "rollback",
        "reconcile",
        "lineage",
        "status",
        "report",
        "ui",
        "sample",
        "encode",
        "bench",
        "add",
        "doctor",
        "config",
    ),
    *("ingest", "validate", "prepare", "reference", "train", "evaluate"),
]
HEAVY = ("torch", "mlflow", "great_expectations", "prefect", "pandas", "dvc", "sklearn")


def genmint(*arguments, cwd=ROOT, **env):
    return subprocess.run(
        [sys.executable, "-m", "genmint", *arguments],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_help_teaches_the_usual_round():
    done = genmint("--help")
    assert done.returncode == 0
    for words in ("dvc repro", "genmint promote", "genmint report", "Exit codes"):
        assert words in done.stdout


@pytest.mark.parametrize(
    "verb",
    VERBS,
)
def test_every_verb_explains_itself(verb):
    done = genmint(verb, "--help")
    assert done.returncode == 0
    assert len(done.stdout) > 80


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from genmint.cli import run\n"
        "try: run(['--help'])\n"
        "except SystemExit: pass\n"
        f"print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["dance"], ["sample", "image-vae"], ["train"]])
def test_wrong_usage_is_2(arguments):
    done = genmint(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "image-vea"], "did you mean 'image-vae'?"),
        (["ingest", "digit"], "did you mean 'digits'?"),
        (["promote", "nothing-like-it"], "there are: image-vae"),
        (["sample", "image-vae", "-n", "0", "--out", "x.png"], "at least one"),
        (["sample", "image-vae", "--out", "x.jpg"], ".png, .wav, .txt, .jsonl or .npy"),
        (["sample", "image-vae", "--seed", "-1", "--out", "x.png"], "it is 0 or more"),
        (["sample", "Image VAE", "--out", "x.png"], "NAME@alias"),
        (["encode", "image-vae", "--out", "x.xls"], ".parquet or .csv"),
        (["config", "models.vae.latnet"], "did you mean 'models.vae.latent'?"),
        (["add", "mnist-vea"], "did you mean 'mnist-vae'?"),
    ],
)
def test_a_wrong_name_or_value_is_2_with_the_remedy(arguments, words):
    done = genmint(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_outside_a_checkout_it_says_so(tmp_path):
    done = genmint("status", cwd=tmp_path)
    assert done.returncode == 2
    assert "params.yaml" in done.stderr


def test_an_untrained_model_is_1_with_the_command_that_trains_it(checkout):
    done = genmint("sample", "image-vae", "--out", "x.png", cwd=checkout)
    assert done.returncode == 1
    assert "dvc repro train@image-vae" in done.stderr
    assert not (checkout / "x.png").exists()


def test_a_report_on_nothing_is_1(checkout):
    done = genmint("report", cwd=checkout)
    assert done.returncode == 1
    assert "dvc repro" in done.stderr


def test_wrong_configuration_names_file_key_and_nearest(checkout):
    params = checkout / "params.yaml"
    params.write_text(params.read_text().replace("    latent:", "    latnet:", 1))
    done = genmint("train", "image-vae", cwd=checkout)
    assert done.returncode == 2
    assert (
        "params.yaml: models.image-vae.latnet: unknown key; did you mean 'latent'?" in done.stderr
    )


def test_a_forbidden_training_run_is_refused_before_heavy_imports(checkout):
    failure = checkout / "failure.json"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "genmint", "train", "image-vae"],
        cwd=checkout,
        env={**os.environ, "GENMINT_DEVICE": "none", "GENMINT_FAILURE": str(failure)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "image-vae: GENMINT_DEVICE=none" in done.stderr
    assert "TrainsElsewhereError" in json.loads(failure.read_text())["kinds"]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & set(HEAVY)
