"""Each link of a lineage, and that a missing or contradicting one is said and never invented."""

import json

import pytest
from mlflow import MlflowClient

from genmint import cli, lineage, tracking
from genmint.common.files import read_json, sha256_file, write_json


def test_every_link_of_a_committed_version(repository, tmp_path):
    before = repository.git("rev-parse", "HEAD")
    repository.run()
    run_id = repository.train()
    repository.promote()
    after = repository.commit("results")
    found, _ = repository.trace(tmp_path)
    assert (found.unknown, found.broken) == ({}, [])
    assert (found.model, found.version, found.aliases) == ("tiny", "1", ["champion"])
    assert found.weights == sha256_file(repository.root / "models/tiny/model.safetensors")
    assert (found.run["id"], found.run["recreated"]) == (run_id, False)
    assert found.run["environment"]["torch"]
    assert found.commit == {"training": before, "uncommitted_changes": False, "recorded": after}
    train = found.stages["train@tiny"]
    lock = (repository.root / "dvc.lock").read_text()
    assert set(train["code"]) == {"code/train.py"}
    assert set(train["data"]) == {"data/prepared/dots/meta.json"}
    assert all(digest in lock for digest in (train["code"] | train["data"]).values())
    assert train["parameters"]["models.tiny"]["steps"] == 10
    assert set(found.stages["validate@dots"]["code"]) == {"config/expectations/image.yaml"}
    assert next(iter(found.stages)) == "ingest@dots"
    assert found.validation["sha256"] == sha256_file(repository.project.validation("dots"))
    assert (found.validation["items"], found.validation["quarantined"]) == (100, 3)
    assert found.validation["expectations"][0]["observed"] == 100
    assert (found.gate["passed"], found.gate["failed"]) == (True, [])
    (entry,) = found.journal
    assert (entry["number"], entry["kind"], entry["version"]) == (1, "promotion", "1")
    assert json.loads(json.dumps(found.as_json()))["commit"]["recorded"] == after


def test_a_refused_version_says_which_checks_failed_and_was_never_champion(repository, tmp_path):
    repository.run(elbo=-35.0)
    assert repository.promote().verdict == "refused"
    found, _ = repository.trace(tmp_path)
    assert found.gate["passed"] is False
    assert "thresholds.elbo.min" in {check["name"] for check in found.gate["failed"]}
    assert (found.journal, found.aliases) == ([], [])


def test_the_journal_of_a_version_has_its_successor_too(repository, tmp_path):
    repository.run()
    repository.promote()
    repository.run(seed=1, elbo=-15.0)
    assert repository.promote().verdict == "promoted"
    found, _ = repository.trace(tmp_path)
    assert [(e["version"], e["previous"]) for e in found.journal] == [("1", None), ("2", "1")]
    assert found.aliases == ["previous-champion"]


def test_a_run_that_was_re_created_names_no_commit(repository, tmp_path):
    """The commit that happens to be checked out at promotion is none of the training's."""
    repository.run()
    repository.promote()
    found, _ = repository.trace(tmp_path)
    assert found.run["recreated"] is True
    assert found.run["started"] is None
    assert found.commit is None
    assert "re-created from DVC's cache" in found.unknown["commit"]
    assert "re-created from DVC's cache" in found.unknown["training"]
    store = MlflowClient(tracking.uri(repository.project))
    tags = store.get_run(found.run["id"]).data.tags
    assert not [tag for tag in tags if "git" in tag]


def test_the_commit_of_a_re_created_run_is_found_only_by_its_very_hashes(repository, tmp_path):
    repository.run()
    repository.promote()
    lock = (repository.root / "dvc.lock").read_text()
    repository.write("dvc.lock", lock.replace("steps: 10", "steps: 11"))
    repository.commit("nearly the same")
    assert repository.trace(tmp_path)[0].commit is None
    repository.write("dvc.lock", lock)
    exact = repository.commit("the same")
    repository.write("code/later.py", "")
    repository.commit("later, with the same lock")
    assert repository.trace(tmp_path)[0].commit == {
        "training": None, "uncommitted_changes": None, "recorded": exact,
    }  # fmt: skip


def test_uncommitted_changes_at_the_training_run_are_told_but_not_those_of_the_lock(
    repository, tmp_path
):
    repository.run()
    repository.commit("first")
    repository.run(seed=1)  # the lock changes
    repository.train()
    repository.promote()
    assert repository.trace(tmp_path)[0].commit["uncommitted_changes"] is False
    repository.run(seed=2)
    repository.write("code/train.py", "# trains otherwise\n")
    repository.train()
    repository.promote()
    assert repository.trace(tmp_path, "2")[0].commit["uncommitted_changes"] is True


def stored_lock(repository):
    """The dvc.lock of a version: an earlier genmint registered what it contradicts, or lacks."""
    repository.run()
    assert repository.promote().verdict == "promoted"
    (path,) = (repository.root / "mlartifacts").rglob("evaluation/dvc.lock")
    return path


def test_without_a_lock_the_stages_are_unknown(repository, tmp_path):
    stored_lock(repository).unlink()
    found, _ = repository.trace(tmp_path)
    assert found.stages is None
    assert "no dvc.lock was stored" in found.unknown["stages"]
    assert found.validation is not None
    assert found.gate is not None


def test_a_lock_without_one_of_the_stages_is_unknown_too(repository, tmp_path):
    path = stored_lock(repository)
    path.write_text(path.read_text().replace("reference@dots:", "reference@others:"))
    assert "has no reference@dots" in repository.trace(tmp_path)[0].unknown["stages"]


def test_a_lock_of_other_files_is_a_contradiction(repository, tmp_path):
    """Stages that ran without DVC leave a lock that speaks of something else."""
    path = stored_lock(repository)
    digest = repository._hashed("metrics/tiny.json")["md5"]
    path.write_text(path.read_text().replace(digest, "0" * 32))
    found, _ = repository.trace(tmp_path)
    assert found.stages is None
    assert any("metrics/tiny.json, as stored, is not what" in text for text in found.broken)


def test_stages_that_read_and_wrote_different_data_contradict_each_other(repository, tmp_path):
    path = stored_lock(repository)
    digest = repository._hashed("data/prepared/dots/meta.json")["md5"]
    first, second = path.read_text().split("  train@tiny:")
    path.write_text(f"{first}  train@tiny:{second.replace(digest, '0' * 32)}")
    found, _ = repository.trace(tmp_path)
    assert found.broken == [
        "version 1: its dvc.lock is not the one that was registered",
        "train@tiny read a data/prepared/dots/meta.json that differs from the output of "
        "prepare@dots",
    ]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("reports/gates/tiny.json", "is not the one that the version names"),
        (
            "reports/data/dots.json",
            "reports/data/dots.json, as stored, differs from the file",
        ),
        ("metrics/tiny.json", "metrics/tiny.json, as stored, differs from the file that the gate"),
    ],
)
def test_stored_files_that_were_changed_are_a_contradiction(repository, tmp_path, file, said):
    repository.run()
    repository.promote()
    (tmp_path / "stored").mkdir()
    registry, version, evaluation = repository.stored("1", tmp_path / "stored")
    value = read_json(evaluation / file)
    changed = {**value, "checks_passed": 99} if "gates" in file else {**value, "elbo": 0.0}
    write_json(evaluation / file, changed)
    found = lineage.trace(registry, version, evaluation)
    assert any(said in text for text in found.broken), found.broken


@pytest.mark.parametrize(
    ("file", "link"),
    [("reports/gates/tiny.json", "gate"), ("reports/data/dots.json", "validation")],
)
def test_stored_files_that_are_missing_are_unknown(repository, tmp_path, file, link):
    repository.run()
    repository.promote()
    (tmp_path / "stored").mkdir()
    registry, version, evaluation = repository.stored("1", tmp_path / "stored")
    (evaluation / file).unlink()
    found = lineage.trace(registry, version, evaluation)
    assert "was stored with the version" in found.unknown[link]
    assert getattr(found, link) is None


def test_a_version_that_genmint_did_not_make_is_unknown_throughout(repository, tmp_path, capsys):
    repository.run()
    repository.promote()
    store = MlflowClient(tracking.uri(repository.project))
    store.create_model_version("tiny", source="models:/tiny/1")
    found, evaluation = repository.trace(tmp_path, "2")
    assert evaluation is None
    links = {"signature", "run", "commit", "stages", "validation", "gate"}
    assert set(found.unknown) == links
    lineage.print_lineage(found)
    shown = capsys.readouterr().out
    assert shown.count("unknown") == len(found.unknown) + 1  # and its weights


def test_the_tree_has_every_link(repository, tmp_path, capsys):
    repository.run()
    repository.train()
    repository.promote()
    commit = repository.commit("results")
    found, _ = repository.trace(tmp_path)
    lineage.print_lineage(found)
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for said in (
        "tiny version 1 (champion)", found.weights[:12], found.run["id"], commit[:12],
        "code/train.py", "what prepare@dots wrote", "models.tiny: ", "family vae",
        "dots passed", "100 items, 3 quarantined", "(min_value 30) holds: found 100",
        f"record {found.gate['sha256'][:12]}", "entry 1: promotion of version 1",
    ):  # fmt: skip
        assert said in shown, said
    assert "unknown" not in shown


def test_the_verb_shows_restores_and_fails_where_links_contradict(
    repository, tmp_path, capsys, monkeypatch
):
    repository.run()
    repository.promote()
    exact = repository.commit("results")
    monkeypatch.chdir(repository.root)
    assert cli.run(["lineage", "tiny@challenger"]) == 1
    assert "no such version" in capsys.readouterr().err
    assert cli.run(["lineage", "tiny", "--checkout", str(tmp_path / "mistyped" / "x")]) == 2
    assert "Create it, or correct --checkout." in capsys.readouterr().err
    assert not (tmp_path / "mistyped").exists()
    target = tmp_path / "restored"
    assert cli.run(["lineage", "tiny", "--json", "--checkout", str(target)]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["commit"]["recorded"] == exact
    assert f"{target}: commit {exact[:12]}" in said.err
    assert (target / "models/tiny/model.safetensors").is_file()
    for path in (repository.root / "mlartifacts").rglob("evaluation/metrics/tiny.json"):
        write_json(path, {**read_json(path), "elbo": 0.0})
    assert cli.run(["lineage", "tiny/1"]) == 1
    assert "broken" in capsys.readouterr().out


def test_nothing_registered_is_an_error_that_makes_no_store(repository, capsys, monkeypatch):
    (repository.root / "mlflow.db").unlink()
    monkeypatch.chdir(repository.root)
    assert cli.run(["lineage", "tiny"]) == 1
    assert "nothing is registered yet. Run `genmint promote tiny`" in capsys.readouterr().err
    assert not (repository.root / "mlflow.db").exists()


def test_damaged_files_of_a_version_are_not_taken_for_missing_ones(repository, tmp_path):
    repository.run()
    repository.promote()
    registry, version, stored = repository.stored("1", tmp_path)
    for file in ("dvc.lock", "reports/gates/tiny.json", "reports/data/dots.json"):
        (stored / file).write_text("<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> x\n")
    found = lineage.trace(registry, version, stored)
    assert found.unknown["stages"] == "the stored dvc.lock is damaged"
    assert found.unknown["gate"] == "the stored tiny.json is damaged"
    assert found.unknown["validation"] == "the stored dots.json is damaged"
    assert len([text for text in found.broken if "is damaged: not" in text]) == 3


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("model.safetensors", "version 1: its weights are not those that passed the gate"),
        (
            "config.json",
            "models/tiny/config.json, as stored, differs from the file that the gate read",
        ),
    ],
)
def test_a_stored_model_that_was_changed_is_a_contradiction(repository, tmp_path, file, words):
    repository.run()
    repository.promote()
    (path,) = (repository.root / "mlartifacts").rglob(f"artifacts/weights/{file}")
    path.write_bytes(path.read_bytes().replace(b"e", b"f", 1))
    found, _ = repository.trace(tmp_path)
    assert words in found.broken
