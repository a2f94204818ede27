"""Runs are told apart by their names."""

import subprocess

from mlflow import MlflowClient

from genmint import tracking
from genmint.tracking.run_name import changed_keys, run_name, with_weights

ENTRY = {"steps": 800, "seed": 0, "seeds": 1}


def names(workshop):
    client = MlflowClient(tracking.uri(workshop.project))
    runs = client.search_runs([tracking.experiment_id(client)])
    return [run.info.run_name for run in runs]


def test_a_name_says_what_is_special():
    assert run_name("image-vae", ENTRY, {}) == "image-vae · steps 800"
    assert run_name("image-vae", ENTRY | {"seeds": 3}, {}) == "image-vae · steps 800, seed 0"
    changed = {"optimiser.lr": "0.1", "latent": "4", "beta": "2.0", "ema": "0.9"}
    name = run_name("image-vae", ENTRY, changed)
    assert name == "image-vae · optimiser.lr 0.1, latent 4, beta 2.0"
    assert with_weights(name, "3f2a" + 60 * "0").endswith("beta 2.0 · 3f2a")
    assert run_name("tiny", {}, {}) == "tiny"


def test_what_differs_from_the_commit_is_named(workshop):
    assert changed_keys(workshop.project, "tiny") == {}
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q"], ["add", "params.yaml"], [*identity, "commit", "-qm", "start"]):
        subprocess.run(["git", *words], cwd=workshop.root, check=True)
    assert changed_keys(workshop.project, "tiny") == {}
    workshop.edit("steps: 10", "steps: 12")
    assert changed_keys(workshop.project, "tiny") == {"steps": "12"}
    assert changed_keys(workshop.project, "new") == {}
    (workshop.root / "params.yaml").write_text("models: [")
    assert changed_keys(workshop.project, "tiny") == {}


def test_a_finished_run_names_its_weights(workshop):
    with tracking.start_run(workshop.project, "tiny", ENTRY) as run:
        run.finish("ab12" + 60 * "0")
    assert names(workshop) == ["tiny · steps 800 · ab12"]
    # The same training run again, as after a crash at its very end.
    for _ in range(2):
        with tracking.start_run(workshop.project, "tiny", ENTRY, token="t") as run:
            run.finish("cd34" + 60 * "0")
    assert sorted(names(workshop)) == ["tiny · steps 800 · ab12", "tiny · steps 800 · cd34"]


def test_a_name_typed_by_a_person_stays(workshop):
    with tracking.start_run(workshop.project, "tiny", ENTRY) as run:
        run.metrics(1, {"train_loss": 1.0})
        while run.run_id is None:
            pass
        client = MlflowClient(tracking.uri(workshop.project))
        client.update_run(run.run_id, name="my best")
        run.finish("ab12" + 60 * "0")
    assert names(workshop) == ["my best"]
