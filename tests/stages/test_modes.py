"""What the stages and the registry write has the modes that the umask asks for, nothing else."""

import json
import os
import stat

import pytest
from tests.workshop import Workshop

from genmint import tracking
from genmint.common.files import atomic_dir, atomic_path
from genmint.config import load_params
from genmint.promotion.promote import promote
from genmint.stages import evaluate, gate, reference, train

MODEL = {
    **{"family": "vae", "dataset": "own", "hidden": [8], "latent": 2, "steps": 20},
    **{"precision": "fp32", "compile": False, "validate_every": 10},
}
GATE = {"thresholds": {"elbo": {"min": -1e9}}, "champion": {"superior": ["elbo"]}}


@pytest.fixture
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def wrong(root, umask, before=()):
    """Every file and folder whose mode is not that of the umask."""
    found = {}
    for path in [root, *root.rglob("*")]:
        allowed = (0o777 if path.is_dir() else 0o666) & ~umask
        if path.name == "signing.key":
            # A secret: whatever the umask, its owner alone may read it.
            allowed = 0o600
        mode = stat.S_IMODE(path.stat().st_mode)
        if path not in before and mode != allowed:
            found[str(path.relative_to(root))] = oct(mode)
    return found


# The first gives the group more, and others less, than the usual one.
@pytest.mark.parametrize(
    "umask",
    [0o007, *(pytest.param(each, marks=pytest.mark.soak) for each in (0o002, 0o027))],
    indirect=True,
)
def test_all_that_a_whole_run_writes(
    umask, data_project, empty_store, no_tracker, monkeypatch, capsys
):
    data_project.pictures(60)
    root = data_project.root
    block = {"path": "data/own/things", "kind": "image", "resolution": 8, "mode": "grey"}
    block["protocol"] = {"samples": 16}
    document = {"datasets": {"own": block}, "models": {"tiny": MODEL}, "gates": {"tiny": GATE}}
    (root / "params.yaml").write_text(json.dumps(document))
    before = {root, *root.rglob("*")}
    monkeypatch.setattr(
        tracking.store, "_build_store", lambda fresh, _: fresh.write_bytes(empty_store.read_bytes())
    )
    project, params = data_project.project, load_params(root / "params.yaml")
    data_project.blocks = document["datasets"]
    data_project.ingest()
    data_project.validate()
    data_project.prepare()
    reference.run(project, params, "own")
    train.run(project, params, "tiny")
    evaluate.run(project, params, "tiny")
    gate.run(project, params, "tiny")
    Workshop(root).commit("tiny")
    (outcome,) = promote(project, params, ["tiny"])
    assert outcome.version == "1"
    written = {path for path in root.rglob("*") if path not in before}
    names = {path.name for path in written}
    assert {"model.safetensors", "mlflow.db", "mlflow.lock", "extractor.safetensors"} <= names
    assert wrong(root, umask, before) == {}


@pytest.mark.parametrize("umask", [0o002, 0o027], indirect=True)
def test_folders_of_a_group_keep_their_setgid_bit(umask, tmp_path):
    tmp_path.chmod(0o2775)
    with atomic_dir(tmp_path / "made") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").touch(mode=0o600)
    with atomic_path(tmp_path / "file") as file:
        file.write_text("text")
    for path in (tmp_path / "made", tmp_path / "made" / "inner"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o2000 | (0o777 & ~umask)
    for path in (tmp_path / "file", tmp_path / "made" / "inner" / "file"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
