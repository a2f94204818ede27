"""What another machine trained is known to the next look: its branch is fetched."""

import json

import pytest
from tests.flow.conftest import repository  # noqa: F401 - a fixture

from genmint.drift.check import check_drift

OUTS = {
    "ingest": ["data/manifest/d.parquet", "data/raw/d"],
    "validate": ["data/quarantine/d.csv"],
    "prepare": ["data/prepared/d"],
    "reference": ["data/reference/d"],
}


@pytest.fixture
def clones(repository, tmp_path):
    """A repository that watches `d`, and the clone of a machine that looks; neither trained."""
    (repository.root / "params.yaml").open("a").write("drift:\n  d: {}\n")
    repository.commit("watch d")
    return repository, repository.clone(tmp_path / "looks")


def train(origin):
    """Publish a branch as `retrain` does, of data that were read in another way."""
    stages = {
        f"{verb}@d": {
            "cmd": verb,
            "params": {"params.yaml": {"datasets.d": {
                "path": "data/sources/d.yaml", "kind": "image", "resolution": 16,
            }}},
            "outs": [{"path": path, "md5": f"{number:032x}"} for number, path in enumerate(outs)],
        }
        for verb, outs in OUTS.items()
    }  # fmt: skip
    origin.git("checkout", "-q", "-b", "retrain/2026-01-01-other")
    (origin.root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}))
    origin.git("add", "-f", "dvc.lock")
    commit = origin.commit("retrain")
    origin.git("checkout", "-q", "main")
    return commit


def test_a_branch_that_another_machine_published_is_the_baseline(clones):
    origin, here = clones
    assert check_drift(here.project, "d").reason.startswith("no commit has a dvc.lock")
    commit = train(origin)
    decision = check_drift(here.project, "d")
    assert decision.baseline == commit
    assert "was changed after models were trained" in decision.reason


def test_a_remote_that_does_not_answer_is_told_of(clones):
    origin, here = clones
    commit = train(origin)
    check_drift(here.project, "d")
    origin.root.rename(origin.root.with_name("away"))
    decision = check_drift(here.project, "d")
    assert decision.baseline == commit
    assert "what other machines trained may be unknown here: `git fetch` failed" in decision.reason
