"""What a promotion rests on: nothing that was put in its place by hand is registered."""

import errno
import json
import shutil
import threading

import pytest
from mlflow import MlflowClient

from genmint import tracking
from genmint.common.files import sha256_file, sha256_json, write_json
from genmint.evaluation import code_hash
from genmint.evaluation.code_hash import code_sha256, measuring_code
from genmint.promotion import snapshot
from genmint.promotion.promote import promote
from genmint.promotion.reconcile import reconcile
from genmint.registry import journal
from genmint.registry.championship import Championship
from genmint.registry.registry import Registry


def one(workshop):
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    return outcome


def client(workshop):
    return MlflowClient(tracking.uri(workshop.project))


def stored(workshop, pattern):
    """Sha256 of a file that is stored with the only version of `tiny`."""
    (path,) = (workshop.root / "mlartifacts").rglob(pattern)
    return sha256_file(path)


def edit_config(path, **model):
    """Change a config.json as somebody who knows how its identity is made."""
    config = json.loads(path.read_text())
    config["model"] |= model
    keys = ("model", "data", "prepared", "resolved")
    config["identity"] = sha256_json({key: config[key] for key in keys})
    write_json(path, config)


def test_an_edited_configuration_promotes_nothing(workshop):
    workshop.make()
    edit_config(workshop.root / "models/tiny/config.json", free_bits=3.0)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1)
    assert "models/tiny/config.json is not the file that was gated" in outcome.reason


def test_an_edited_configuration_fails_the_gate(workshop):
    workshop.make()
    edit_config(workshop.root / "models/tiny/config.json", free_bits=3.0)
    assert workshop.gate() is False
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1)
    assert "models/tiny/config.json is not the measured file" in outcome.reason


def test_a_configuration_that_was_edited_in_the_registry_is_no_champion(workshop):
    workshop.make()
    assert one(workshop).verdict == "promoted"
    (path,) = (workshop.root / "mlartifacts").rglob("artifacts/weights/config.json")
    edit_config(path, free_bits=3.0)
    registry = Registry.open(workshop.project)
    version = registry.get("tiny", "1")
    assert (
        Championship(registry).verdict(version)
        == "its config.json is not the one that was registered"
    )
    assert "config.json" in Championship(registry).why_not("tiny", version.named, None)


def without_entry(workshop):
    lock = json.loads(workshop.project.lock.read_text())
    del lock["stages"]["evaluate@tiny"]
    write_json(workshop.project.lock, lock)


def without_lock(workshop):
    workshop.project.lock.unlink()


def forged_metrics(workshop):
    """All that the gate compares is written anew, but dvc.lock has what DVC wrote."""
    lock = workshop.project.lock.read_bytes()
    workshop.make(elbo=-5.0)
    workshop.project.lock.write_bytes(lock)


def a_sample_of_another_model(workshop):
    (workshop.project.samples("tiny") / "sheet.png").write_bytes(b"nicer")


def settings_that_it_was_not_trained_with(workshop):
    workshop.edit("tiny: {family: vae, dataset: dots, hidden: [4]",
                  "tiny: {family: vae, dataset: dots, hidden: [8]")  # fmt: skip


def data_of_another_stage(workshop):
    lock = json.loads(workshop.project.lock.read_text())
    lock["stages"]["train@tiny"]["deps"] = [{"path": "reports/data/dots.json", "md5": "0" * 32}]
    write_json(workshop.project.lock, lock)


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (without_entry, "dvc.lock has no evaluate@tiny: it did not run under DVC"),
        (without_lock, "dvc.lock has no ingest@dots: it did not run under DVC"),
        (forged_metrics, "metrics/tiny.json is not the output of evaluate@tiny"),
        (a_sample_of_another_model, "samples/tiny is not the output of evaluate@tiny"),
        (settings_that_it_was_not_trained_with,
         "models.tiny of params.yaml is not the value that train@tiny ran with"),
        (data_of_another_stage,
         "train@tiny read a reports/data/dots.json that differs from the output of validate@dots"),
    ],
)  # fmt: skip
def test_what_dvc_lock_contradicts_promotes_nothing(workshop, break_it, reason):
    workshop.make()
    break_it(workshop)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1), outcome
    assert reason in outcome.reason
    assert "Run `dvc repro gate@tiny`." in outcome.reason
    assert client(workshop).search_model_versions("name = 'tiny'") == []


@pytest.mark.parametrize("moment", ["before_verify", "after_verify"])
def test_weights_that_are_replaced_meanwhile_are_not_registered(workshop, monkeypatch, moment):
    """As a `dvc repro` does that ends at that moment: weights that no gate saw."""
    from genmint.promotion import promote as promotion

    gated = workshop.make()
    other = workshop.root.parent / "other"
    shutil.copytree(workshop.root, other)
    type(workshop)(other).make(seed=9, elbo=-99.0, gate=False)
    real = promotion.verified_record

    def replace():
        for folder in ("models", "metrics", "samples"):
            shutil.rmtree(workshop.root / folder)
            shutil.copytree(other / folder, workshop.root / folder)

    def verify(*arguments):
        if moment == "before_verify":
            replace()
        record = real(*arguments)
        if moment == "after_verify":
            replace()
        return record

    monkeypatch.setattr(promotion, "verified_record", verify)
    assert one(workshop).verdict == "promoted"
    (version,) = client(workshop).search_model_versions("name = 'tiny'")
    assert version.tags["genmint.weights"] == gated
    assert stored(workshop, "artifacts/weights/model.safetensors") == gated
    assert json.loads((other / "metrics/tiny.json").read_text())["elbo"] == -99.0
    (metrics,) = (workshop.root / "mlartifacts").rglob("evaluation/metrics/tiny.json")
    assert json.loads(metrics.read_text())["elbo"] == -20.0


def test_what_is_registered_passed_its_gate_whatever_is_swapped_when(workshop):
    """A thread swaps a gated model and one that no gate saw, as quickly as it can."""
    good = workshop.make()
    kept = {name: workshop.root.parent / name for name in ("good", "bad")}
    shutil.copytree(workshop.root / "models", kept["good"])
    workshop.make(seed=9, gate=False)
    shutil.copytree(workshop.root / "models", kept["bad"])
    bad = sha256_file(kept["bad"] / "tiny/model.safetensors")
    workshop.make()
    ended = threading.Event()

    def swap():
        while not ended.is_set():
            for name in ("bad", "good"):
                for file in ("model.safetensors", "config.json"):
                    temporary = workshop.root / f"{file}.new"
                    shutil.copyfile(kept[name] / "tiny" / file, temporary)
                    temporary.replace(workshop.root / "models/tiny" / file)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        verdicts = {one(workshop).verdict for _ in range(12)}
    finally:
        ended.set()
        thread.join()
    assert verdicts <= {"promoted", "is champion", "not promoted"}
    found = client(workshop).search_model_versions("name = 'tiny'")
    assert {version.tags["genmint.weights"] for version in found} <= {good}
    for path in (workshop.root / "mlartifacts").rglob("artifacts/weights/model.safetensors"):
        assert sha256_file(path) == good != bad


def test_params_that_change_meanwhile_are_those_of_the_copy(workshop, monkeypatch):
    """What is registered, and by which gate it is judged, comes from one params.yaml."""
    workshop.make()
    real = snapshot._files

    def files(*arguments):
        workshop.edit("min: -30.0", "min: -10.0")
        return real(*arguments)

    monkeypatch.setattr(snapshot, "_files", files)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1)
    assert "the gate record does not follow from params.yaml and the metrics" in outcome.reason


def test_a_file_that_may_not_be_read_is_named(workshop, monkeypatch):
    """Root may read everything, so the answer of the system is given here."""
    workshop.make()
    path = workshop.project.metrics("tiny")
    real = shutil.copyfile

    def copyfile(source, target):
        if source == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(source))
        return real(source, target)

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1)
    assert outcome.reason == f"{path}: Permission denied. Ask its owner for it."


def test_errors_name_the_files_themselves_not_the_copy(workshop):
    workshop.make()
    workshop.project.gate_record("tiny").write_text("{")
    outcome = one(workshop)
    assert outcome.reason.startswith(f"{workshop.project.gate_record('tiny')}: ")


def test_the_hash_of_the_code_is_that_of_the_files_that_evaluate_depends_on():
    """Else DVC would measure again, and figures of old and new code would be compared."""
    from tests.test_dvc_yaml import dependencies

    for family in ("vae", "gan", "rnn"):
        assert set(measuring_code(family)) == set(dependencies("evaluate", family))
    assert len({code_sha256(family) for family in ("vae", "gan", "rnn")}) == 3


def test_line_ends_are_no_other_code(tmp_path, monkeypatch):
    """Figures of a clone with core.autocrlf are compared with those of one without."""
    package = tmp_path / "genmint"
    shutil.copytree(code_hash._PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_hash, "_PACKAGE", package)
    measured = code_sha256.__wrapped__
    before = measured("vae")
    assert before == code_sha256("vae")
    path = package / "stages" / "evaluate.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert measured("vae") == before
    path.write_bytes(path.read_bytes() + b"# more\r\n")
    assert measured("vae") != before


def test_weights_that_were_changed_in_the_registry_are_no_champion_for_reconcile(workshop):
    """Neither the alias nor a tag says so: the stored weights are hashed."""
    workshop.make()
    assert one(workshop).verdict == "promoted"
    (path,) = (workshop.root / "mlartifacts").rglob("artifacts/weights/model.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    (outcome,) = reconcile(workshop.project, workshop.params, ["tiny"])
    assert outcome.verdict == "withdrawn"
    assert "its weights are not those that passed the gate" in outcome.reason
    assert "champion" not in journal.aliases(client(workshop), "tiny")
