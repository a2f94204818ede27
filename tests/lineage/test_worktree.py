"""A version's state in a git worktree: exactly that, or a refusal that leaves nothing behind."""

import hashlib
import json
import shutil
import subprocess
import sys

import pytest
from tests.unmounted import Unmounted

from genmint import lineage
from genmint.common import programs
from genmint.common.dvc_lock import read_lock
from genmint.common.errors import GenmintError

DATA = "data/sources/dots.yaml"


def check_out(repository, tmp_path, version="1", target=None):
    restored, target = restore(repository, tmp_path, version, target)
    return restored.commit, target


def restore(repository, tmp_path, version="1", target=None):
    found, evaluation = repository.trace(tmp_path, version)
    target = target or tmp_path / "restored"
    return lineage.check_out(repository.project, found, evaluation, target), target


def status(folder):
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def worktrees(repository):
    return repository.git("worktree", "list").count("\n") + 1


def refused(repository, tmp_path, match, version="1", target=None):
    """Refused, with nothing left behind."""
    target = target or tmp_path / "restored"
    existed, trees = target.exists(), worktrees(repository)
    before = sorted(target.iterdir()) if target.is_dir() else None
    with pytest.raises(GenmintError, match=match):
        check_out(repository, tmp_path, version, target)
    assert target.exists() == existed
    assert (sorted(target.iterdir()) if target.is_dir() else None) == before
    assert worktrees(repository) == trees


def test_a_committed_version_comes_back_though_the_project_moved_on(repository, tmp_path):
    repository.run()
    repository.promote()
    exact = repository.commit("results")
    weights = (repository.root / "models/tiny/model.safetensors").read_bytes()
    repository.write("code/train.py", "# trains otherwise\n")
    repository.run(seed=1, elbo=-15.0)
    repository.promote()
    repository.commit("moved on")
    commit, target = check_out(repository, tmp_path)
    assert commit == exact
    assert (target / "models/tiny/model.safetensors").read_bytes() == weights
    assert (target / "code/train.py").read_text() == "# trains\n"
    assert status(target) == {}
    assert repository.git("-C", str(target), "status", "--porcelain") == ""


@pytest.mark.soak
def test_uncommitted_settings_come_back_from_what_was_stored(repository, tmp_path):
    """Neither params.yaml nor dvc.lock of the version was ever committed."""
    block = "tiny: {family: vae, dataset: dots, hidden: [4], latent: 2, steps: 10}"
    repository.workshop.edit(block, block.replace("10", "20"))
    repository.run()
    repository.train()
    repository.promote()
    settings = repository.project.params.read_text()
    repository.git("checkout", "-q", "params.yaml")
    (repository.root / "dvc.lock").unlink()
    commit, target = check_out(repository, tmp_path)
    assert commit == repository.git("rev-parse", "HEAD")
    assert (target / "params.yaml").read_text() == settings
    assert (target / "metrics/tiny.json").is_file()
    assert status(target) == {}


def test_the_hashes_of_other_models_stay_as_the_commit_has_them(repository, tmp_path):
    path = repository.root / "dvc.lock"
    path.write_text("schema: '2.0'\nstages:\n  train@other:\n    cmd: python\n")
    repository.commit("another model")
    repository.run()
    repository.train()
    repository.promote()
    _, target = check_out(repository, tmp_path)
    assert {"train@other", "train@tiny"} <= set(read_lock(target / "dvc.lock"))


def test_code_that_was_never_committed_is_refused_by_name(repository, tmp_path):
    repository.write("code/train.py", "# trains otherwise\n")
    repository.run()
    repository.train()
    repository.promote()
    repository.git("checkout", "-q", "code/train.py")
    (tmp_path / "restored").mkdir()
    refused(repository, tmp_path, "has another code/train.py. Commit them")


@pytest.mark.parametrize("cached", [True, False])
def test_data_that_dvc_keeps_come_back_or_can_be_fetched(repository, tmp_path, cached):
    added(repository)
    repository.run()
    repository.promote()
    repository.commit("results")
    if not cached:
        shutil.rmtree(repository.root / ".dvc" / "cache")
    _, target = check_out(repository, tmp_path)
    assert (target / DATA).is_file() == cached


def test_data_that_nobody_keeps_are_refused_by_name(repository, tmp_path):
    added(repository)
    repository.run()
    repository.promote()
    (repository.root / f"{DATA}.dvc").unlink()
    repository.commit("results")
    refused(repository, tmp_path, f"lacks {DATA}")


def added(repository):
    """Data as `dvc add` leaves them: ignored by git, known by their hash."""
    repository.git("rm", "-q", "--cached", DATA)
    entry = repository._hashed(DATA, cache=True)
    lines = [f"- md5: {entry['md5']}", f"  size: {entry['size']}", "  hash: md5"]
    repository.write(f"{DATA}.dvc", "\n".join(["outs:", *lines, "  path: dots.yaml", ""]))
    repository.write("data/sources/.gitignore", "/dots.yaml\n")
    repository.commit("dvc add")


def test_what_the_cache_lacks_is_no_difference_and_is_named(repository, tmp_path):
    """The hashes are what was asked for; that nothing need run is not promised."""
    repository.run()
    repository.promote()
    exact = repository.commit("results")
    restored, _ = restore(repository, tmp_path, target=tmp_path / "before")
    assert restored.next_step("tiny") == "`dvc repro --pull gate@tiny` there has nothing to run"
    # As `dvc gc` does: without the weights, and with all else.
    weights = repository.root / "models/tiny/model.safetensors"
    digest = hashlib.md5(weights.read_bytes()).hexdigest()  # noqa: S324 - DVC's hash
    (repository.root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]).unlink()
    restored, target = restore(repository, tmp_path)
    assert restored.commit == exact
    assert restored.missing == ("models/tiny/model.safetensors",)
    assert not (target / "models/tiny/model.safetensors").exists()
    assert "no default remote: `dvc repro --pull gate@tiny` there recomputes them" in (
        restored.next_step("tiny")
    )
    # A remote of this checkout, also a local one, is known to the worktree.
    local = repository.root / ".dvc" / "config.local"
    local.write_text("[core]\n    remote = r\n['remote \"r\"']\n    url = /r\n")
    restored, _ = restore(repository, tmp_path, target=tmp_path / "after")
    assert "there fetches files from DVC's remote" in restored.next_step("tiny")


def test_a_folder_that_holds_something_is_refused(repository, tmp_path):
    repository.run()
    repository.promote()
    repository.commit("results")
    target = tmp_path / "mine"
    target.mkdir()
    (target / "thesis.txt").write_text("all of it")
    refused(repository, tmp_path, "exists and is not empty", target=target)
    refused(repository, tmp_path, "exists and is not empty", target=target / "thesis.txt")
    assert (target / "thesis.txt").read_text() == "all of it"


def test_a_commit_that_is_not_here_is_refused(repository, tmp_path):
    repository.run()
    repository.train()
    repository.promote()
    found, evaluation = repository.trace(tmp_path)
    found.commit["training"] = "0123456789" * 4
    with pytest.raises(GenmintError, match="is not in this repository"):
        lineage.check_out(repository.project, found, evaluation, tmp_path / "restored")


def test_a_version_without_commit_stages_or_truth_is_refused(repository, tmp_path):
    repository.run()
    repository.promote()
    refused(repository, tmp_path, "no commit here has these hashes")
    found, evaluation = repository.trace(tmp_path)
    found.broken = ["the stored gate record is another"]
    with pytest.raises(GenmintError, match="gate record is another"):
        lineage.check_out(repository.project, found, evaluation, tmp_path / "restored")
    found.broken, found.stages, found.unknown["stages"] = [], None, "no lock"
    with pytest.raises(GenmintError, match="cannot be restored: no lock"):
        lineage.check_out(repository.project, found, evaluation, tmp_path / "restored")


def test_a_failure_half_way_leaves_nothing_behind(repository, tmp_path, monkeypatch):
    repository.run()
    repository.promote()
    repository.commit("results")
    user = Unmounted(repository.root, tmp_path)
    monkeypatch.setattr(programs, "_DVC", (sys.executable, "-c", "raise SystemExit(3)"))
    refused(repository, tmp_path, "failed in")
    (tmp_path / "restored").mkdir()
    refused(repository, tmp_path, "failed in")
    user.is_as_it_was()
