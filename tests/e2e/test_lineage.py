"""From a champion back to its data, and back again to a checkout in which nothing has to run."""

import json

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

STAGES = [
    *(f"{stage}@digits" for stage in ("ingest", "validate", "prepare", "reference")),
    *(f"{stage}@image-vae" for stage in ("train", "evaluate", "gate")),
]


def lineage(checkout, target, *flags):
    return json.loads(checkout.run("genmint", "lineage", target, "--json", *flags).stdout)


def test_every_link_of_the_champion_is_known(finished):
    found = lineage(finished, "image-vae")
    assert (found["unknown"], found["broken"]) == ({}, [])
    assert (found["version"], found["aliases"]) == ("1", ["champion"])
    assert found["run"]["recreated"] is False
    results, clone = finished.run("git", "log", "-2", "--format=%H").stdout.split()
    assert found["commit"]["recorded"] == results
    assert (found["commit"]["training"], found["commit"]["uncommitted_changes"]) == (clone, False)
    assert list(found["stages"]) == STAGES
    for stage, entry in found["stages"].items():
        assert entry["code"], stage
        assert entry["data"], stage
        assert entry["wrote"], stage
    assert found["stages"]["train@image-vae"]["parameters"]["models.image-vae"]["steps"] > 0
    assert found["validation"]["passed"] == 1
    assert found["validation"]["items"] == 10_000
    assert len(found["validation"]["expectations"]) > 3
    assert found["gate"]["passed"] is True
    assert [entry["version"] for entry in found["journal"]] == ["1"]


@pytest.mark.soak
def test_its_state_comes_back_and_nothing_has_to_run(finished, tmp_path):
    """After code and settings moved on, in a copy, since a worktree leaves its mark in git."""
    checkout = finished.copy(tmp_path / "copy")
    (checkout.root / "src/genmint/models/vae/__init__.py").write_text("# all gone\n")
    params = checkout.root / "params.yaml"
    params.write_text(params.read_text().replace("latent: 16", "latent: 4", 1))
    checkout.commit("moved on")
    target = tmp_path / "version-1"
    lineage(checkout, "image-vae@champion", "--checkout", str(target))
    restored = type(checkout)(target)
    done = restored.run("dvc", "repro", "--pull", "gate@image-vae")
    assert "Running stage" not in done.stdout + done.stderr
    assert done.stdout.count("didn't change, skipping") == len(STAGES)
    weights = "models/image-vae/model.safetensors"
    assert (target / weights).read_bytes() == (finished.root / weights).read_bytes()
    assert restored.run("git", "status", "--porcelain").stdout == ""
    # It is a checkout like any other, with the registry of the project it came from.
    assert "is champion" in restored.run("genmint", "promote", "image-vae").stdout


@pytest.mark.soak
def test_a_model_from_a_cache_says_what_nobody_knows(finished, tmp_path):
    """A second clone with the cache and another registry: the training was never seen there."""
    clone = finished.clone(tmp_path / "clone", cache=True)
    clone.run("genmint", "promote", "image-vae")
    found = lineage(clone, "image-vae@champion")
    assert found["run"]["recreated"] is True
    assert "re-created from DVC's cache" in found["unknown"]["training"]
    assert found["commit"]["training"] is None
    # Its hashes were committed, so the state is known all the same.
    assert found["commit"]["recorded"] == clone.run("git", "rev-parse", "HEAD").stdout.strip()
    assert found["broken"] == []
