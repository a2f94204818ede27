"""A version whose gate failed is not used silently, wherever its alias points."""

import json
import socket
import subprocess
import sys

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

import genmint
from genmint import tracking
from genmint.cli import run
from genmint.common.errors import GenmintError
from genmint.common.layout import CURRENT_EVALUATION
from genmint.lineage.links import trace
from genmint.promotion.promote import promote
from genmint.promotion.reconcile import reconcile
from genmint.promotion.rollback import rollback
from genmint.registry.registry import Registry

DRY = "  tiny:\n    mode: dry-run\n    thresholds"
GATED = "  tiny:\n    thresholds"
FAILED = r"tiny/3: it failed its gate \(thresholds\.elbo\.min -35: is not at least -30\)\. "
OVERRIDES = "  tiny:\n    allow_overrides: true\n    thresholds"


@pytest.fixture
def client(stocked):
    return MlflowClient(tracking.uri(stocked.project))


def point(client, version, alias="champion"):
    client.set_registered_model_alias("tiny", alias, version)


def promoted(workshop):
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    return outcome


@pytest.mark.parametrize(
    ("target", "way_out"),
    [
        ("tiny/3", "Use tiny@champion."),
        (
            "tiny@champion",
            "The alias `champion` was moved by hand to version 3; the journal says version 2. "
            "Run `genmint reconcile tiny` to revert the move.",
        ),
        (
            "tiny@previous-champion",
            "The alias `previous-champion` was moved by hand to version 3; the journal says "
            "version 1. Run `genmint reconcile tiny` to revert the move.",
        ),
        ("tiny@challenger", "Use tiny@champion."),
    ],
)
def test_a_version_that_failed_is_refused(stocked, client, capsys, target, way_out):
    if "@" in target:
        point(client, "3", target.partition("@")[2])
    with pytest.raises(GenmintError, match=FAILED + way_out) as caught:
        genmint.load(target, stocked.root)
    assert caught.value.exit_code == 1
    assert "--allow-refused" in str(caught.value)
    assert capsys.readouterr().err == ""
    genmint.load(target, stocked.root, allow_refused=True)
    assert "tiny/3: it failed its gate (thresholds.elbo.min -3" in capsys.readouterr().err


def test_a_move_by_hand_is_reported_until_it_is_reconciled(stocked, client, capsys):
    genmint.load("tiny@champion", stocked.root)
    genmint.load("tiny@previous-champion", stocked.root)
    assert capsys.readouterr().err == ""
    point(client, "4")
    genmint.load("tiny/4", stocked.root)
    assert capsys.readouterr().err == ""
    genmint.load("tiny@champion", stocked.root)
    assert capsys.readouterr().err == (
        "tiny@champion: the alias `champion` was moved by hand to version 4; the journal says "
        "version 2. Run `genmint reconcile tiny` to confirm the move.\n"
    )
    reconcile(stocked.project, stocked.params, ["tiny"])
    capsys.readouterr()
    genmint.load("tiny@champion", stocked.root)
    assert capsys.readouterr().err == ""


def test_a_champion_of_a_rollback_was_not_moved_by_hand(stocked, capsys):
    rollback(stocked.project, stocked.params, "tiny", "test")
    capsys.readouterr()
    genmint.load("tiny@champion", stocked.root)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("policy", [True, False])
def test_an_override_counts_if_the_policy_allows_it(stocked, client, capsys, policy):
    if policy:
        stocked.edit(GATED, OVERRIDES)
    client.set_model_version_tag("tiny", "3", "override", "for a demonstration")
    point(client, "3")
    if policy:
        genmint.load("tiny@champion", stocked.root)
        first, second = capsys.readouterr().err.splitlines()
        assert first.startswith("tiny/3: it failed its gate (thresholds.elbo.min -35: ")
        assert first.endswith("It is used by override: for a demonstration")
        assert second.endswith("Run `genmint reconcile tiny` to confirm the move.")
    else:
        with pytest.raises(GenmintError, match="it failed its gate"):
            genmint.load("tiny@champion", stocked.root)


@pytest.mark.parametrize(("elbo", "line"), [(-20.0, "gate was in dry-run"), (-35.0, "it failed")])
def test_a_gate_in_dry_run_refuses_nothing_and_is_reported(workshop, capsys, elbo, line):
    workshop.edit(GATED, DRY)
    workshop.make(elbo=elbo)
    promoted(workshop)
    capsys.readouterr()
    genmint.load("tiny/1", workshop.root)
    assert line in capsys.readouterr().err


def test_a_version_without_its_gate_record_is_refused(stocked):
    for path in (stocked.root / "mlartifacts").rglob("reports/gates/tiny.json"):
        path.unlink()
    with pytest.raises(GenmintError, match=r"tiny/2: no model with its gate record .*--allow-ref"):
        genmint.load("tiny/2", stocked.root)


@pytest.mark.parametrize(
    "verb",
    [["sample", "--out", "x.npy"], ["encode", "--out", "x.csv"], ["explore", "--out", "x.html"]],
)
def test_each_verb_that_loads_refuses_with_exit_code_1(stocked, client, capsys, monkeypatch, verb):
    monkeypatch.chdir(stocked.root)
    point(client, "3")
    name, *options = verb
    assert run([name, "tiny@champion", *options]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "tiny/3: it failed its gate" in error
    out = stocked.root / options[1]
    assert not out.exists()
    # `stocked` has no data that could be encoded or explored.
    code = run([name, "tiny@champion", *options, "--allow-refused"])
    assert (code, out.exists()) == ((0, True) if name == "sample" else (1, False))
    assert "used because refused versions are allowed here" in capsys.readouterr().err


def load(version):
    return mlflow.pyfunc.load_model(f"models:/tiny/{version}")


@pytest.fixture
def served(workshop, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.uri(workshop.project))
    monkeypatch.setattr(mlflow, "_tracking_uri", None, raising=False)
    mlflow.set_tracking_uri(tracking.uri(workshop.project))
    yield workshop
    mlflow.set_tracking_uri(None)


def test_the_stored_model_follows_the_gate_record_of_its_version(served, capsys, monkeypatch):
    """Its gate fails, then passes with a lower threshold, then fails with a higher one."""
    served.make(elbo=-35.0)
    assert promoted(served).verdict == "refused"
    refused = r"tiny, weights \w{12}: it failed its gate \(thresholds.elbo.min -3.*ALLOW_REFUSED=1"
    with pytest.raises(Exception, match=refused):
        load(1)
    monkeypatch.setenv("GENMINT_ALLOW_REFUSED", "1")
    assert len(load(1).predict(pd.DataFrame({"n": [2]}))) == 2
    assert "it failed its gate" in capsys.readouterr().err
    monkeypatch.delenv("GENMINT_ALLOW_REFUSED")
    for minimum, verdict in (("-36.0", "promoted"), ("-30.0", "refused"), ("-36.0", "promoted")):
        text = served.project.params.read_text()
        now = "-30.0" if "min: -30.0" in text else "-36.0"
        if now != minimum:
            served.edit(f"min: {now}", f"min: {minimum}")
        served.gate("tiny")
        assert promoted(served).verdict == verdict
        if verdict == "promoted":
            assert len(load(1).predict(pd.DataFrame({"n": [2]}))) == 2
            genmint.load("tiny/1", served.root)
        else:
            with pytest.raises(Exception, match=refused):
                load(1)
            with pytest.raises(GenmintError, match="it failed its gate"):
                genmint.load("tiny/1", served.root)
        description = MlflowClient().get_model_version("tiny", "1").description
        assert ("may be made champion" in description) == (verdict == "promoted")
        assert ("is reverted by the next reconcile" in description) == (verdict == "refused")


@pytest.mark.slow
def test_mlflow_does_not_serve_a_version_that_failed(served):
    served.make(elbo=-35.0)
    assert promoted(served).verdict == "refused"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/tiny/1"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert "GenmintError: tiny, weights " in done.stderr
    assert "To load this version all the same, set GENMINT_ALLOW_REFUSED=1." in done.stderr


def test_the_signature_covers_which_gate_record_a_stored_model_reads(served):
    served.make(elbo=-20.0)
    assert promoted(served).verdict == "promoted"
    registry = Registry.existing(served.project)
    version = registry.get("tiny", "1")
    assert registry.other_files(version) is None
    (path,) = (served.root / "mlartifacts").rglob(CURRENT_EVALUATION)
    assert json.loads(path.read_text()) == {"folder": "evaluation"}
    path.write_text(json.dumps({"folder": "evaluation-00000000"}))
    assert "names another evaluation than the signed one" in registry.other_files(version)
    broken = trace(registry, version, None).broken
    assert any("another evaluation" in line for line in broken)
    with pytest.raises(Exception, match="it has no gate record"):
        load(1)
