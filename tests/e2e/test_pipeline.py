"""From raw data to promoted models, and what must not happen on the way."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from genmint.config import load_params

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

# Variants that cost minutes together: `make soak`.
SOAK = pytest.mark.soak

# A block of `models` that trains in no time.
TINY = (
    "\nmodels:\n  tiny:\n    family: vae\n    dataset: digits\n    steps: 20\n"
    "    validate_every: 10\n    latent: 2\n    hidden: [16]\n"
)

MODELS = ("image-vae", "image-gan", "text-rnn", "audio-rnn")


def client(checkout):
    return MlflowClient(f"sqlite:///{checkout.root}/mlflow.db")


def aliases(checkout):
    return {
        name: {alias: str(version) for alias, version in found.aliases.items()}
        for name in MODELS
        for found in [client(checkout).get_registered_model(name)]
    }


def metrics(checkout, name):
    return json.loads((checkout.root / "metrics" / f"{name}.json").read_text())


def record(checkout, name):
    return json.loads((checkout.root / "reports" / "gates" / f"{name}.json").read_text())


def edit(checkout, pattern, replacement):
    path = checkout.root / "params.yaml"
    text, count = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.DOTALL)
    assert count == 1, pattern
    path.write_text(text)


def changed_stages(checkout):
    status = json.loads(checkout.run("dvc", "status", "--json").stdout)
    return set(status)


def test_all_four_are_registered_and_champion(finished):
    for name, found in aliases(finished).items():
        assert found["champion"] == "1", name
        version = client(finished).get_model_version(name, "1")
        assert "Gate: passed" in version.description
        journal = client(finished).get_model_version(f"{name}.journal", "1")
        assert journal.version in (1, "1")


def test_then_everything_is_up_to_date_and_clean(finished):
    assert "up to date" in finished.run("dvc", "repro").stdout
    assert "up to date" in finished.run("dvc", "status").stdout
    assert finished.run("git", "status", "--porcelain").stdout == ""
    assert finished.run("genmint", "status").returncode == 0


def test_promoting_again_changes_nothing(finished):
    before = aliases(finished)
    done = finished.run("genmint", "promote")
    assert done.stdout.count("is champion") == len(MODELS)
    assert aliases(finished) == before
    assert len(client(finished).search_model_versions("name = 'image-vae'")) == 1


def test_the_samples_are_what_they_should_be(finished):
    reference = json.loads((finished.root / "data/reference/digits/reference.json").read_text())
    assert reference["extractor"]["accuracy"] >= 0.95
    for name, confident in (("image-vae", 0.1), ("image-gan", 0.3)):
        assert metrics(finished, name)["confident"] >= confident
        assert metrics(finished, name)["classes"] >= 9
    assert metrics(finished, "text-rnn")["words_in_held_out"] >= 0.6
    assert metrics(finished, "audio-rnn")["in_tune"] >= 0.8


@pytest.mark.parametrize("name", MODELS)
def test_every_threshold_beats_the_trivial_baseline_by_its_margin(finished, name):
    protocol = json.loads((finished.root / "metrics" / f"{name}.protocol.json").read_text())
    gate = load_params(finished.root / "params.yaml").gates[name]
    for metric, bound in gate.thresholds.items():
        assert bound.baseline is not None, metric
        baseline = protocol["baselines"][metric][bound.baseline]
        assert bound.margin > 0
        if bound.min is not None:
            assert bound.min >= baseline + bound.margin, metric
        else:
            assert bound.max <= baseline - bound.margin, metric


@SOAK
def test_a_tenth_of_the_training_steps_fails_the_gate(finished, tmp_path):
    checkout = finished.clone(tmp_path / "tenth", cache=True)
    checkout.run("dvc", "checkout", "-q")
    models = load_params(checkout.root / "params.yaml").models
    for name in MODELS:
        steps = models[name].steps
        edit(checkout, rf"(\n  {name}:\n.*?\n    steps: ){steps}", rf"\g<1>{steps // 10}")
    stages = [f"{stage}@{name}" for name in MODELS for stage in ("train", "evaluate", "gate")]
    checkout.run("dvc", "repro", "-s", *stages)
    promoted = checkout.run("genmint", "promote").stdout
    for name in MODELS:
        verdict = record(checkout, name)
        assert verdict["passed"] == 0, name
        failed = [check["name"] for check in verdict["checks"] if not check["passed"]]
        assert any(check.startswith("thresholds.") for check in failed), failed
        assert f"{name}: refused" in promoted
        assert "champion" not in client(checkout).get_registered_model(name).aliases
    assert checkout.run("genmint", "gate", "--strict", MODELS[0], ok=False).returncode == 1


def test_a_changed_block_re_runs_only_its_model(finished, tmp_path):
    checkout = finished.copy(tmp_path / "copy")
    assert changed_stages(checkout) == set()
    edit(checkout, r"(\n  text-rnn:\n.*?\n    hidden: )(\d+)", r"\g<1>8")
    assert changed_stages(checkout) == {"train@text-rnn"}


def test_code_of_a_family_marks_only_its_models(finished, tmp_path):
    checkout = finished.copy(tmp_path / "copy")
    with (checkout.root / "src/genmint/models/gan/adversarial.py").open("a") as stream:
        stream.write("# changed\n")
    assert changed_stages(checkout) == {"train@image-gan", "evaluate@image-gan"}


def test_a_block_adds_a_pipeline(finished, tmp_path):
    checkout = finished.copy(tmp_path / "copy")
    edit(checkout, r"\nmodels:[^\n]*\n", TINY)
    assert {"train@tiny", "evaluate@tiny", "gate@tiny"} <= changed_stages(checkout)


@SOAK
def test_a_block_without_a_gate_is_trained_and_refused(finished, tmp_path):
    checkout = finished.copy(tmp_path / "copy")
    edit(checkout, r"\nmodels:[^\n]*\n", TINY)
    checkout.run("dvc", "repro", "gate@tiny")
    # No gate was configured for it: that is a refusal, never a pass.
    assert record(checkout, "tiny")["passed"] == 0
    assert "gates.tiny" in (checkout.root / "reports/gates/tiny.json").read_text()


@SOAK
@pytest.mark.parametrize("flags", [[], ["--pull"], ["--allow-missing"]])
def test_a_second_clone_trains_nothing_and_promotes_all(finished, tmp_path, flags):
    checkout = finished.clone(tmp_path / "second", cache=True)
    done = checkout.run("dvc", "repro", *flags)
    assert "train" not in re.findall(r"Running stage '(\w+)@", done.stdout)
    assert not (checkout.root / "mlflow.db").exists()
    checkout.run("genmint", "promote")
    assert {name: found["champion"] for name, found in aliases(checkout).items()} == dict.fromkeys(
        MODELS, "1"
    )
    for name in MODELS:
        version = client(checkout).get_model_version(name, "1")
        run = client(checkout).get_run(version.run_id)
        assert run.data.tags["genmint.recreated"] == "1"
        assert len(client(checkout).get_metric_history(run.info.run_id, "validation_loss")) > 1


@SOAK
@pytest.mark.parametrize("flags", [[], ["--temp"]])
def test_an_experiment_moves_no_alias_and_dvc_tells_of_it(finished, tmp_path, flags):
    checkout = finished.copy(tmp_path / "copy")
    shown = json.loads(checkout.run("dvc", "metrics", "show", "--json").stdout)
    files = shown[""]["data"]
    assert set(files) == {f"metrics/{name}.yaml" for name in aliases(checkout)}
    assert "elbo" in files["metrics/image-vae.yaml"]["data"]
    assert files["metrics/image-vae.yaml"]["data"]["failed"] == 0
    before = aliases(checkout)
    experiment = client(checkout).get_experiment_by_name("genmint").experiment_id
    runs = len(client(checkout).search_runs([experiment]))
    checkout.run("dvc", "exp", "run", *flags, "-S", "models.image-vae.steps=30", "gate@image-vae")
    assert aliases(checkout) == before
    assert len(client(checkout).search_runs([experiment])) == runs + 1
    assert len(client(checkout).search_model_versions("name = 'image-vae'")) == 1
    if flags:
        return
    # The experiment lies in the workspace: DVC tells what it changed.
    differences = json.loads(checkout.run("dvc", "params", "diff", "--json").stdout)
    assert "models.image-vae.steps" in differences["params.yaml"]
    changed = json.loads(checkout.run("dvc", "metrics", "diff", "--json").stdout)
    assert "elbo" in changed["metrics/image-vae.yaml"]
    page = checkout.run("dvc", "plots", "show", "-o", str(tmp_path / "plots")).stdout
    drawn = Path(page.strip().removeprefix("file://")).read_text()
    assert "cdn." not in drawn
    for part in ("training and validation loss", "margins of the gate", "samples/image-vae.png"):
        assert part in drawn


@SOAK
def test_promotion_compares_with_the_champion_there_is(finished, tmp_path):
    checkout = finished.copy(tmp_path / "copy")
    steps = load_params(checkout.root / "params.yaml").models["image-vae"].steps
    edit(checkout, rf"(\n  image-vae:\n.*?\n    steps: ){steps}", rf"\g<1>{steps - 400}")
    checkout.run("dvc", "repro", "gate@image-vae")
    checkout.run("genmint", "promote", "image-vae")
    versions = client(checkout).search_model_versions("name = 'image-vae'")
    assert {str(version.version) for version in versions} == {"1", "2"}
    assert aliases(checkout)["image-vae"]["champion"] == "1"
    # Somebody moves the alias by hand, to a version that passed its gate: that is the champion now.
    client(checkout).set_registered_model_alias("image-vae", "champion", "2")
    assert "is champion" in checkout.run("genmint", "promote", "image-vae").stdout
    assert aliases(checkout)["image-vae"]["champion"] == "2"
    journal = checkout.run("genmint", "journal", "image-vae").stdout
    assert "by-hand" in journal


def test_a_lost_registry_is_noticed_and_the_repair_command_repairs_once_it_is_reached(
    finished, tmp_path
):
    checkout = finished.copy(tmp_path / "copy")
    shutil.rmtree(checkout.root / "mlartifacts")
    for name in ("mlflow.db", "mlflow.db-wal", "mlflow.db-shm"):
        (checkout.root / name).unlink(missing_ok=True)
    noticed = checkout.run("genmint", "status", ok=False)
    assert noticed.returncode == 1
    assert "genmint promote --first" in noticed.stdout + noticed.stderr
    away = checkout.run("genmint", "promote", ok=False, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert away.returncode == 1
    assert "Traceback" not in away.stderr
    assert not (checkout.root / "mlflow.db").exists()
    assert checkout.run("git", "status", "--porcelain").stdout == ""
    emptied = checkout.run("genmint", "promote", ok=False)
    assert emptied.returncode == 1
    assert "has no journal of image-vae, whose champion was version" in emptied.stderr
    checkout.run("genmint", "promote", "--first")
    assert set(aliases(checkout)) == set(MODELS)
    assert checkout.run("genmint", "status").returncode == 0


def test_a_flipped_byte_is_not_promoted(finished, tmp_path):
    checkout = finished.copy(tmp_path / "copy")
    weights = checkout.root / "models/image-vae/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-7] ^= 1
    weights.unlink()
    weights.write_bytes(content)
    done = checkout.run("genmint", "promote", "image-vae", ok=False)
    assert done.returncode == 1
    assert "not promoted" in done.stdout + done.stderr


def test_champions_load_without_pickle_and_without_the_checkout(finished, tmp_path):
    code = (
        "import mlflow, pandas as pd\n"
        f"mlflow.set_tracking_uri('sqlite:///{finished.root}/mlflow.db')\n"
        f"for name in {MODELS!r}:\n"
        "    model = mlflow.pyfunc.load_model(f'models:/{name}@champion')\n"
        "    out = model.predict(pd.DataFrame({'n': [2], 'seed': [0]}))\n"
        "    assert len(out) == 2, name\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={
            "PATH": "/usr/bin:/bin",
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            # Two threads on a core that another test is using wait for each other all the time.
            "OMP_NUM_THREADS": "1",
        },
        check=True,
    )
    endings = {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib"}
    artefacts = [path for path in (finished.root / "mlartifacts").rglob("*") if path.is_file()]
    assert any(path.name == "model.safetensors" for path in artefacts)
    assert [path for path in artefacts if path.suffix in endings] == []
    # Pickles of protocol 2 and later begin with 0x80 and their protocol's number.
    starts = {path: path.open("rb").read(2) for path in artefacts}
    assert [p for p, s in starts.items() if s[:1] == b"\x80" and s[1:] <= b"\x05"] == []


@SOAK
def test_samples_and_latents_of_a_champion(finished, tmp_path):
    for target, ending in [
        ("image-vae@champion", "png"),
        ("text-rnn@champion", "txt"),
        ("audio-rnn", "wav"),
    ]:
        out = tmp_path / f"samples.{ending}"
        finished.run("genmint", "sample", target, "-n", "4", "--seed", "3", "--out", str(out))
        assert out.stat().st_size > 100
    out = tmp_path / "latents.parquet"
    assert "10000 rows" in finished.run("genmint", "encode", "image-vae", "--out", str(out)).stdout
    done = finished.run("genmint", "encode", "image-gan", "--out", str(out), ok=False)
    assert done.returncode == 2
