"""Promotion: what moves, what does not, and that nothing moves on evidence that does not hold."""

import json
import socket
import subprocess
import sys

import pytest
from tests.promotion.promoted import aliases, client, one, run, versions

from genmint.common.errors import RegistryRefusedError, RegistryUnreachableError
from genmint.common.files import sha256_file, write_json
from genmint.registry import entries, resolve


def written(workshop):
    """Every file of the project with its content, and every row that the registry could grow."""
    files = {
        str(path.relative_to(workshop.root)): path.read_bytes()
        for path in workshop.root.rglob("*")
        if path.is_file()
    }
    return files


def test_the_first_that_passes_becomes_champion(workshop):
    weights = workshop.make()
    outcome = one(workshop)
    assert (outcome.verdict, outcome.version, outcome.exit_code) == ("promoted", "1", 0), outcome
    assert aliases(workshop) == {"champion": "1"}
    (entry,) = entries.entries(client(workshop), "tiny")
    assert (entry.number, entry.valid, entry.finalised) == (1, True, True)
    assert (entry.version, entry.previous, entry.kind) == ("1", None, "promotion")
    (version,) = versions(workshop)
    assert version.tags["genmint.weights"] == weights
    assert version.tags["genmint.gate"] == "passed"
    assert json.loads(version.tags["genmint.protocol"])["observation"] == "binary"
    assert "| `thresholds.elbo.min` | -20 | -20.2 … -19.8 | -30 | passed |" in version.description
    assert 'genmint.load("tiny/1")' in version.description
    run_ = client(workshop).get_run(version.run_id)
    assert run_.data.metrics["elbo"] == -20.0
    assert run_.data.tags["genmint.version"] == "1"
    assert run_.data.tags["genmint.verdict"] == "promoted"


def test_a_better_one_replaces_it_and_is_remembered(workshop):
    workshop.make()
    one(workshop)
    workshop.make(seed=1, elbo=-15.0)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.version) == ("promoted", "2"), outcome
    assert aliases(workshop) == {"champion": "2", "previous-champion": "1"}
    assert [e.previous for e in entries.entries(client(workshop), "tiny")] == [None, "1"]


@pytest.mark.parametrize("elbo", [-20.0, -25.0])
def test_one_that_is_not_better_waits_as_challenger(workshop, elbo):
    workshop.make()
    one(workshop)
    workshop.make(seed=1, elbo=elbo)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not better", 0), outcome
    assert aliases(workshop) == {"champion": "1", "challenger": "2"}
    assert len(entries.entries(client(workshop), "tiny")) == 1


def test_promoting_again_changes_nothing(workshop):
    workshop.make()
    one(workshop)
    before = [(v.version, v.tags, v.last_updated_timestamp) for v in versions(workshop)]
    outcome = one(workshop)
    assert (outcome.verdict, outcome.version) == ("is champion", "1")
    assert [(v.version, v.tags, v.last_updated_timestamp) for v in versions(workshop)] == before
    assert len(entries.entries(client(workshop), "tiny")) == 1


def test_a_refused_one_is_registered_with_its_reasons_and_without_alias(workshop):
    workshop.make(elbo=-35.0)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("refused", 0), outcome
    assert "thresholds.elbo.min: -35 < -30" in outcome.reason
    assert aliases(workshop) == {}
    (version,) = versions(workshop)
    assert version.tags["genmint.gate"] == "refused"
    assert "**failed**" in version.description
    assert entries.entries(client(workshop), "tiny") == []


def test_dry_run_registers_and_moves_no_alias(workshop):
    workshop.edit("  tiny:\n    thresholds", "  tiny:\n    mode: dry-run\n    thresholds")
    workshop.make()
    outcome = one(workshop)
    assert outcome.verdict == "dry-run", outcome
    assert len(versions(workshop)) == 1
    assert aliases(workshop) == {}
    assert entries.entries(client(workshop), "tiny") == []


def test_dry_run_leaves_a_champion_alone_even_if_the_new_one_is_better(workshop):
    workshop.make()
    one(workshop)
    workshop.edit("  tiny:\n    thresholds", "  tiny:\n    mode: dry-run\n    thresholds")
    workshop.make(seed=1, elbo=-5.0)
    assert one(workshop).verdict == "dry-run"
    assert aliases(workshop) == {"champion": "1"}


def flip_a_byte(workshop):
    path = workshop.root / "models/tiny/model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def remove_a_metric(workshop):
    path = workshop.root / "metrics/tiny.json"
    values = json.loads(path.read_text())
    del values["elbo"]
    write_json(path, values)


def write_nan(workshop):
    path = workshop.root / "metrics/tiny.json"
    path.write_text(path.read_text().replace("-20.0", "NaN"))


def record_of_other_weights(workshop):
    record = workshop.project.gate_record("tiny").read_bytes()
    workshop.make(seed=7, gate=False)
    workshop.project.gate_record("tiny").write_bytes(record)


def no_validation_report(workshop):
    workshop.project.validation("dots").unlink()


def no_record(workshop):
    workshop.project.gate_record("tiny").unlink()


def forged_record(workshop):
    workshop.make(elbo=-35.0)
    path = workshop.project.gate_record("tiny")
    record = json.loads(path.read_text())
    record["passed"] = 1
    for check in record["checks"]:
        check["passed"] = True
    write_json(path, record)


def laxer_gate_than_recorded(workshop):
    workshop.edit("min: -30.0", "min: -99.0")


def no_gate(workshop):
    workshop.edit("gates:\n  tiny:", "gates:\n  other:")
    workshop.gate()


def refused_data(workshop):
    path = workshop.project.validation("dots")
    write_json(path, {**json.loads(path.read_text()), "passed": 0})
    workshop.gate()


def nan_and_gated(workshop):
    write_nan(workshop)
    workshop.gate()


def config_of_another_model(workshop):
    path = workshop.root / "models/tiny/config.json"
    write_json(path, {**json.loads(path.read_text()), "weights": "0" * 64})


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (flip_a_byte, "models/tiny/model.safetensors is not the file that was gated"),
        (remove_a_metric, "metrics/tiny.json is not the file that was gated"),
        (write_nan, "metrics/tiny.json is not the file that was gated"),
        (nan_and_gated, "metrics/tiny.json is not the measured file"),
        (record_of_other_weights, "model.safetensors is not the file that was gated"),
        (no_validation_report, "reports/data/dots.json is missing"),
        (no_record, "no such file"),
        (forged_record, "does not follow from params.yaml and the metrics"),
        (laxer_gate_than_recorded, "does not follow from params.yaml and the metrics"),
        (no_gate, "params.yaml has no gates.tiny"),
        (refused_data, "the data set failed its validation"),
        (config_of_another_model, "models/tiny/config.json is not the file that was gated"),
    ],
)
def test_evidence_that_does_not_hold_promotes_nothing(workshop, capsys, break_it, reason):
    workshop.make()
    break_it(workshop)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1)
    assert reason in outcome.reason
    assert "dvc repro" in outcome.reason
    assert f"tiny: not promoted: {outcome.reason}" in capsys.readouterr().err
    assert versions(workshop) == []
    assert aliases(workshop) == {}


def test_one_bad_model_does_not_stop_the_others(workshop):
    workshop.edit(
        "gates:\n",
        "gates:\n  other: {thresholds: {elbo: {min: -30}}, champion: {superior: [elbo]}}\n",
    )
    workshop.make()
    workshop.make("other", seed=3)
    flip_a_byte(workshop)
    outcomes = run(workshop, "tiny", "other")
    assert [outcome.verdict for outcome in outcomes] == ["not promoted", "promoted"]


def test_an_unreachable_registry_is_an_error_and_writes_nothing(workshop, monkeypatch):
    workshop.make()
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        # Bound but not listening: connections are refused.
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        before = written(workshop)
        with pytest.raises(RegistryUnreachableError, match="does not answer"):
            run(workshop)
    assert written(workshop) == before
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert one(workshop).verdict == "promoted"


def test_a_web_server_that_is_no_registry_is_never_an_empty_one(workshop, monkeypatch):
    workshop.make()
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"],
        cwd=workshop.root / "models",
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        port = server.stdout.readline().split()[5]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        with pytest.raises(RegistryRefusedError, match="does not provide MLflow's API"):
            run(workshop)
    finally:
        server.kill()
        server.wait()


def test_a_damaged_store_is_an_error(workshop):
    workshop.make()
    (workshop.root / "mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(RegistryUnreachableError, match="readable"):
        run(workshop)


def test_it_compares_with_the_champion_that_a_person_chose(workshop):
    workshop.make()
    one(workshop)
    workshop.make(seed=1, elbo=-15.0)
    one(workshop)
    workshop.make(seed=2, elbo=-18.0)
    assert one(workshop).verdict == "not better"
    # Back to version 1 by hand: now -18 is better than the champion there is.
    client(workshop).set_registered_model_alias("tiny", "champion", "1")
    outcome = one(workshop)
    assert (outcome.verdict, outcome.version) == ("promoted", "3"), outcome
    kinds = [(e.kind, e.version, e.previous) for e in entries.entries(client(workshop), "tiny")]
    assert kinds == [
        ("promotion", "1", None),
        ("promotion", "2", "1"),
        ("by-hand", "1", "2"),
        ("promotion", "3", "1"),
    ]
    assert aliases(workshop)["champion"] == "3"


def test_an_alias_that_a_person_took_away_is_reverted_and_compared_with(workshop, capsys):
    workshop.make()
    one(workshop)
    workshop.make(seed=1, elbo=-25.0)
    client(workshop).delete_registered_model_alias("tiny", "champion")
    outcome = one(workshop)
    assert (outcome.verdict, outcome.version) == ("not better", "2"), outcome
    assert aliases(workshop) == {"champion": "1", "challenger": "2"}
    assert "tiny: reverted (champion is version 1): removed by hand" in capsys.readouterr().err


def test_an_alias_moved_to_a_version_that_failed_is_reverted_and_compared_with(stocked):
    client(stocked).set_registered_model_alias("tiny", "champion", "3")
    stocked.make(seed=9, elbo=-16.0)
    outcome = one(stocked)
    # Better than the failed version 3, but not than version 2.
    assert (outcome.verdict, outcome.version) == ("not better", "5"), outcome
    assert aliases(stocked) == {"champion": "2", "previous-champion": "1", "challenger": "5"}
    kinds = [entry.kind for entry in entries.entries(client(stocked), "tiny")]
    assert kinds == ["promotion", "promotion", "reverted"]


def test_a_copy_that_a_person_made_champion_is_measured_by_its_files(stocked):
    copy = client(stocked).copy_model_version("models:/tiny/1", "tiny")
    client(stocked).set_registered_model_alias("tiny", "champion", copy.version)
    stocked.make(seed=9, elbo=-18.0)
    outcome = one(stocked)
    assert (outcome.verdict, outcome.version) == ("promoted", "6"), outcome
    assert "against champion version 5: elbo: better by 2" in outcome.reason


def test_a_version_that_nothing_identifies_is_no_champion_even_by_override(stocked):
    """A model of another house names no hash of its weights."""
    stocked.edit("  tiny:\n    thresholds", "  tiny:\n    allow_overrides: true\n    thresholds")
    empty = stocked.root / "foreign"
    empty.mkdir()
    (empty / "weights.bin").write_bytes(b"?")
    foreign = client(stocked).create_model_version(
        "tiny", source=empty.as_uri(), tags={"override": "a model of another house"}
    )
    client(stocked).set_registered_model_alias("tiny", "champion", foreign.version)
    stocked.make(seed=1, elbo=-1.0)
    outcome = one(stocked)
    assert (outcome.verdict, outcome.exit_code) == ("is champion", 0)
    assert aliases(stocked)["champion"] == "2"
    reason = client(stocked).get_model_version("tiny", foreign.version).tags["genmint.reverted"]
    assert "it was never gated; its tag `override` counts only for a version with" in reason


def test_the_same_weights_are_registered_once_though_their_gate_changes(workshop):
    workshop.make(elbo=-35.0)
    assert one(workshop).verdict == "refused"
    workshop.edit("min: -30.0", "min: -36.0")
    workshop.gate()
    outcome = one(workshop)
    assert (outcome.verdict, outcome.version) == ("promoted", "1")
    (version,) = versions(workshop)
    assert version.tags["genmint.gate"] == "passed"
    assert "**failed**" not in version.description
    (entry,) = entries.entries(client(workshop), "tiny")
    assert entry.reason.endswith(
        "there was no champion; its gate differs from that of version 1: "
        "thresholds.elbo.min -30.0 → -36.0"
    )


def test_a_weaker_gate_than_the_champions_stands_in_the_journal(workshop):
    workshop.make()
    one(workshop)
    workshop.edit("{min: -30.0, baseline: pixel_bernoulli, margin: 1.0}", "{min: -99.0}")
    workshop.make(seed=1, elbo=-15.0)
    assert one(workshop).verdict == "promoted"
    assert entries.entries(client(workshop), "tiny")[-1].reason.endswith(
        "; its gate differs from that of version 1: thresholds.elbo.baseline pixel_bernoulli → "
        "none, thresholds.elbo.margin 1.0 → none, thresholds.elbo.min -30.0 → -99.0"
    )


def test_a_model_from_a_cache_gets_its_run_again(workshop):
    weights = workshop.make()
    one(workshop)
    (version,) = versions(workshop)
    found = client(workshop).get_run(version.run_id)
    assert found.data.tags["genmint.recreated"] == "1"
    assert found.data.tags["genmint.weights"] == weights
    history = client(workshop).get_metric_history(version.run_id, "validation_loss")
    assert [(point.step, point.value) for point in history] == [(1, 30), (2, 29), (3, 28)]


def test_a_half_done_move_is_completed(workshop):
    """A writer that was killed right after its journal entry."""
    workshop.make()
    one(workshop)
    workshop.make(seed=1, elbo=-15.0)
    workshop.edit("  tiny:\n    thresholds", "  tiny:\n    mode: dry-run\n    thresholds")
    workshop.gate()
    one(workshop)
    store = client(workshop)
    workshop.write_entry("2")
    workshop.edit("mode: dry-run\n    ", "")
    workshop.gate()
    outcome = one(workshop)
    assert (outcome.verdict, outcome.version) == ("is champion", "2"), outcome
    assert aliases(workshop) == {"champion": "2", "previous-champion": "1"}
    assert entries.entries(store, "tiny")[-1].finalised


def test_the_champion_for_a_person_or_a_page(workshop):
    assert resolve.champion(workshop.project, "tiny") is None
    weights = workshop.make()
    one(workshop)
    assert resolve.champion(workshop.project, "tiny").weights == weights
    folder = resolve.download(workshop.project, "tiny", workshop.root / "out", alias="champion")
    assert sha256_file(folder / "model.safetensors") == weights
