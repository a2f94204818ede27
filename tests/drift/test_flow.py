"""Without a hand: new files, drift, retraining, verdict; bad files, GX, alert. Real servers."""

import httpx
import pytest
from tests.services.conftest import Listener, Running, wait_for

from genmint import tracking
from genmint.drift.state import DriftStore
from genmint.registry.registry import Registry

pytestmark = pytest.mark.soak

# What servers and DVC write; everything else in the repository is the user's.
OURS = ("mlflow.db", "mlartifacts", "services.log", "models", "metrics", "reports", "samples")


@pytest.fixture
def listener():
    made = Listener()
    yield made
    made.server.shutdown()


@pytest.fixture
def running(watched, listener):
    """Services of the watched project, whose drift flow fires by itself every 25 seconds."""
    root = watched.checkout.root
    declared = root / "prefect.yaml"
    text = declared.read_text()
    assert '{cron: "0 0 * * *", timezone: UTC}' in text
    declared.write_text(text.replace('{cron: "0 0 * * *", timezone: UTC}', "{interval: 25}"))
    watched.checkout.commit("look often")
    started = Running(
        root, "--workers", "1", "--name", "here",
        ALERTS=f"http://127.0.0.1:{listener.port}/hook", GENMINT_HOME=str(root),
        GENMINT_LOCKS=str(root.parent / "locks"),
    )  # fmt: skip
    yield started
    started.clean()


def users(watched):
    files, *rest = watched.everything()
    kept = {name: value for name, value in files.items() if not name.startswith(OURS)}
    return kept, *rest


def asked_for(running):
    """Retrainings that the drift flow asked for."""
    with running.client as client:
        return [run for run in client.read_flow_runs() if "drift" in run.tags]


def retrained(running):
    return [run for run in asked_for(running) if run.state.name == "Completed"]


def test_new_files_are_retrained_on_and_bad_ones_are_told_of(
    watched, running, listener, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{running.mlflow_port}")
    first = running.ask("retrain/now", ignore_uncommitted=True)
    running.wait_until(first, "Completed", 600)
    registry = Registry.existing(watched.home)
    assert registry.aliases("shapes-vae")["champion"] == "1"

    watched.deliver(1000, 60, bright=150)
    before = users(watched)
    wait_for(lambda: retrained(running), 300, "it is retrained")
    versions = {version.version: version for version in registry.versions("shapes-vae")}
    assert set(versions) == {"1", "2"}
    assert versions["2"].tags["genmint.gate"] in ("passed", "refused")
    champion = registry.aliases("shapes-vae")["champion"]
    verdict = "promoted" if champion == "2" else "not better or refused"
    print(f"version 2: gate {versions['2'].tags['genmint.gate']}, champion {champion}: {verdict}")
    branches = watched.checkout.run("git", "branch", "--list", "retrain/*").stdout.split()
    assert len(branches) == 2

    def known():
        latest = DriftStore(watched.home, "shapes").decisions(1)[0]
        return latest.verdict == "nothing new" and latest.new == 0

    wait_for(known, 90, "what it was retrained on is what is known")
    assert len(asked_for(running)) == 1

    watched.deliver_bad(20)
    heard = listener.wait_for("/hook", "shapes failed its validation: 20 of 230 items", seconds=90)
    assert heard["alert"] == "a flow failed"
    assert len(asked_for(running)) == 1
    for path in watched.folder.glob("bad-*"):
        path.unlink()
    assert users(watched) == before

    # An alias that was taken away comes back, and somebody hears of it.
    tracking.connect(watched.home).delete_registered_model_alias("shapes-vae", "champion")
    running.wait_until(running.ask("reconcile/hourly"), "Completed", 60)
    assert registry.aliases("shapes-vae")["champion"] == champion
    assert "shapes-vae" in listener.wait_for("/hook", "put back")["text"]
    with running.client as client:
        api = client.api_url
    artefacts = httpx.post(f"{str(api).rstrip('/')}/artifacts/filter", json={}).json()
    assert {"drift", "reconcile", "retrain"} <= {found["key"] for found in artefacts}
