"""Results go to a branch of their own, and to the remote; nothing else moves."""

import copy
import hashlib
import json
import subprocess

import pytest

from genmint.common.errors import GenmintError, TemporaryError
from genmint.common.programs import run_dvc
from genmint.common.project import Project
from genmint.flow.adoption import copy_sources
from genmint.flow.checkout import checked_out, override
from genmint.flow.differences import same_results
from genmint.flow.publish import gather_results, publish, record, uncommitted_lock
from genmint.flow.stage import ProcessGroup, reproduce

DATA = ["ingest@d", "prepare@d", "reference@d"]
MODELS = {name: [f"{verb}@{name}" for verb in ("train", "evaluate", "gate")] for name in "ab"}


def retrain(repository, name, order=None, **overrides):
    """With an order, models one after the other as flows run them; else all at once, faster."""
    base = repository.git("rev-parse", "main")
    with checked_out(repository.project, base, name) as checkout:
        override(checkout, {f"models.{key.replace('_', '.')}": v for key, v in overrides.items()})
        if order is None:
            run_dvc(checkout, "repro", "--quiet")
        else:
            for stages in (DATA, *(MODELS[model] for model in order)):
                reproduce(checkout, stages, process_group=ProcessGroup(), say=print)
        gather_results(checkout, ["a", "b"])
        return publish(
            repository.project, checkout, base, name, f"retrain {name}", models=["a", "b"]
        )


def test_a_branch_with_lock_parameters_metrics_and_records(repository):
    main = repository.git("rev-parse", "main")
    published = retrain(repository, "one", a_steps=20)
    assert published.branch.startswith("retrain/2")
    assert published.branch.endswith("-one")
    assert (published.new, published.pushed) == (True, None)
    assert repository.git("rev-parse", "main") == main
    assert repository.git("merge-base", "main", published.branch) == main
    changed = repository.git("diff", "--name-only", "main", published.branch).split()
    assert changed == [
        "dvc.lock", "params.yaml",
        "results/a/gate.json", "results/a/metrics.json",
        "results/b/gate.json", "results/b/metrics.json",
    ]  # fmt: skip
    assert "steps: 20" in repository.git("show", f"{published.branch}:params.yaml")


def test_dvc_still_runs_on_the_branch(repository):
    """Metrics under their own paths would be outputs that git tracks, which DVC refuses to run."""
    published = retrain(repository, "one")
    repository.git("checkout", "-q", published.branch)
    outcomes = reproduce(
        repository.project,
        [*DATA, *MODELS["a"]],
        process_group=ProcessGroup(),
        say=print,
        force=["ingest", "prepare", "reference", "train", "evaluate", "gate"],
    )
    assert {outcome.result for outcome in outcomes} == {"ran"}


def test_the_same_again_is_the_same_branch(repository):
    first = retrain(repository, "one", order="ab")
    # DVC appends stages as they end.
    second = retrain(repository, "two", order="ba")
    assert (second.branch, second.new) == (first.branch, False)
    assert retrain(repository, "three", a_steps=20).branch != first.branch


def test_nothing_that_main_lacks_is_no_branch(repository):
    published = retrain(repository, "one")
    repository.git("merge", "-q", "--ff-only", published.branch)
    repository.git("branch", "-q", "-D", published.branch)
    assert retrain(repository, "two") is None


def test_nothing_that_the_working_tree_lacks_is_no_branch(repository):
    """dvc.lock after `dvc repro` is not committed, and a flow finds the same results."""
    run_dvc(repository.project, "repro", "--quiet")
    assert uncommitted_lock(repository.project)
    assert retrain(repository, "one") is None
    assert retrain(repository, "two", a_steps=20).new


def test_other_measured_times_are_no_other_results(repository):
    """The cost file of an evaluation differs, and the gate record that names its hash."""
    files = repository.project.root / ".dvc" / "cache" / "files" / "md5"
    check = {"name": "thresholds.elbo.min", "value": 1.0, "bound": 0.0, "passed": True,
             "reason": "is at least 0"}  # fmt: skip
    evidence = [{"file": f"metrics/m{kind}.json", "sha256": "s"} for kind in ("", ".cost")]
    decided = {"model": "m", "passed": 1, "checks_passed": 1, "checks_failed": 0, "verdicts": {},
              "mode": "enforce", "checks": [check], "evidence": evidence}  # fmt: skip

    def lock(cost, record):
        text = json.dumps(record)
        digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        (files / digest[:2]).mkdir(parents=True, exist_ok=True)
        (files / digest[:2] / digest[2:]).write_text(text)
        costs = {"path": "metrics/m.cost.json", "md5": cost}
        metrics = {"path": "metrics/m.json", "md5": "m"}
        return {
            "evaluate@m": {"cmd": "e", "outs": [costs, metrics]},
            "gate@m": {"cmd": "g", "deps": [metrics, costs],
                       "outs": [{"path": "reports/gates/m.json", "md5": digest}]},
        }  # fmt: skip

    def again(**changes):
        changed = copy.deepcopy(decided) | changes
        changed["evidence"][-1]["sha256"] = "another"
        return lock("another", changed)

    project, first = repository.project, lock("one", decided)
    assert same_results(project, again(), first)
    assert same_results(project, again(), {}, first)
    assert not same_results(project, again(), {})
    # The gate decided otherwise, or the metrics differ.
    failed = [{**check, "value": 0.5}]
    assert not same_results(project, again(checks=failed), first)
    other = again()
    other["evaluate@m"]["outs"][1] = {"path": "metrics/m.json", "md5": "another"}
    assert not same_results(project, other, first)


def test_a_branch_that_is_there_is_not_lost(repository):
    first = retrain(repository, "one")
    second = retrain(repository, "one", a_steps=20)
    assert second.branch == f"{first.branch}-2"
    assert repository.git("rev-parse", first.branch) == first.commit


@pytest.fixture
def origin(repository, tmp_path):
    """A git server that the repository was cloned from."""
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(repository.root), str(remote)], check=True)
    repository.git("remote", "add", "origin", str(remote))
    return remote


@pytest.fixture
def shared(repository, origin, tmp_path):
    """A git server, and a remote of DVC that is a folder."""
    with (repository.root / ".dvc" / "config").open("a") as stream:
        stream.write(f"    remote = shared\n['remote \"shared\"']\n    url = {tmp_path}/shared\n")
    repository.commit()
    return origin


def heads(remote):
    """Commits of its branches by name."""
    command = ["git", "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads"]
    done = subprocess.run(command, cwd=remote, check=True, capture_output=True, text=True)
    return dict(line.split() for line in done.stdout.splitlines())


def test_it_is_pushed_where_there_is_a_remote_and_main_is_not(repository, origin):
    (repository.root / "more.txt").write_text("not pushed by its author")
    repository.commit()
    published = retrain(repository, "one")
    assert published.pushed == "origin"
    assert heads(origin)[published.branch] == published.commit
    assert heads(origin)["main"] != repository.git("rev-parse", "main")


def test_whoever_gets_the_branch_can_pull_all_of_it(repository, shared, tmp_path):
    published = retrain(repository, "one")
    clone = tmp_path / "clone"
    command = ["git", "clone", "-q", "--branch", published.branch, str(shared), str(clone)]
    subprocess.run(command, check=True)
    colleague = Project(clone)
    run_dvc(colleague, "pull", "--quiet")
    assert "up to date" in run_dvc(colleague, "repro")
    assert (clone / "reports" / "gates" / "b.json").exists()


def test_whoever_gets_the_branch_can_pull_own_data_that_only_this_machine_had(
    repository, shared, tmp_path
):
    own = repository.root / "data" / "own" / "things"
    own.mkdir(parents=True)
    (own / "1.png").write_bytes(b"one")
    for file in ("dvc.yaml", "params.yaml"):
        path = repository.root / file
        text = path.read_text()
        path.write_text(
            text.replace("data/sources/${key}.yaml", "data/own/things")
            .replace("cp data/own/things data", "cp data/own/things/1.png data")
            .replace("data/sources/d.yaml", "data/own/things")
        )
    base = repository.commit("own data")
    with checked_out(repository.project, base, "one") as checkout:
        copy_sources(repository.project, checkout, override(checkout, {}), ())
        run_dvc(checkout, "repro", "--quiet")
        gather_results(checkout, ["a"])
        published = publish(repository.project, checkout, base, "one", "retrain", models=["a"])
    clone = tmp_path / "clone"
    command = ["git", "clone", "-q", "--branch", published.branch, str(shared), str(clone)]
    subprocess.run(command, check=True)
    run_dvc(Project(clone), "pull", "--quiet")
    assert (clone / "data" / "own" / "things" / "1.png").read_bytes() == b"one"
    assert "up to date" in run_dvc(Project(clone), "repro")


def test_without_its_data_no_branch_goes_out(repository, shared, tmp_path):
    (tmp_path / "shared").write_text("no folder")
    with pytest.raises(TemporaryError, match="shared"):
        retrain(repository, "one")
    assert repository.git("branch", "--list", "retrain/*-one")
    assert not [branch for branch in heads(shared) if branch.startswith("retrain")]


def test_a_remote_that_does_not_answer_is_transient_and_the_branch_is_kept(repository, tmp_path):
    repository.git("remote", "add", "origin", str(tmp_path / "gone.git"))
    with pytest.raises(TemporaryError, match=r"The branch retrain/.*-one is here: `git push"):
        retrain(repository, "one")
    assert repository.git("branch", "--list", "retrain/*-one")
    # Tried again, it is pushed although the branch is there.
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "gone.git")], check=True)
    assert retrain(repository, "one").pushed == "origin"


def test_hooks_and_missing_names_stop_nothing(repository, monkeypatch, tmp_path):
    hook = repository.root / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("EMAIL", "")
    repository.git("config", "user.useConfigOnly", "true")
    assert retrain(repository, "one").new


def test_inputs_that_the_lock_lacks_are_no_inputs(repository, monkeypatch):
    monkeypatch.setattr("genmint.flow.publish._LOCK_SECONDS", 0.2)
    base = repository.git("rev-parse", "main")
    with checked_out(repository.project, base, "run") as checkout:
        reproduce(checkout, ["ingest@d"], process_group=ProcessGroup(), say=print)
        with pytest.raises(GenmintError, match="lacks prepare@d"):
            record(checkout, "inputs", with_stages=["ingest@d", "prepare@d"])
