"""Looks at a real folder through real git, DVC and Great Expectations."""

import json

import pytest

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.files import read_json
from genmint.common.programs import git, run_dvc
from genmint.drift import baseline, source_items
from genmint.drift.check import check_drift
from genmint.drift.check import watched as watched_sets
from genmint.drift.decision import DriftCheck, RequestedRetraining
from genmint.drift.state import DriftStore
from genmint.flow.adoption import copy_sources
from genmint.flow.checkout import checked_out
from genmint.flow.committed import params_at
from genmint.flow.publish import publish

ASKED = RequestedRetraining(
    run="00000000-0000-4000-8000-000000000000", at="2026-01-01T00:00:00Z", revision="x"
)


def test_nothing_new_is_seen_without_reading(watched, monkeypatch):
    first = check_drift(watched.home, "shapes")
    assert (first.verdict, first.items, first.new, first.gone) == ("nothing new", 150, 0, 0)

    def never(*_):
        raise AssertionError("stock was taken though nothing had moved")

    monkeypatch.setattr(source_items, "read_items", never)
    assert check_drift(watched.home, "shapes").verdict == "nothing new"
    watched.deliver(1000, 1)
    with pytest.raises(AssertionError):
        check_drift(watched.home, "shapes")


def test_new_images_like_the_old_make_windows_and_no_drift(watched):
    watched.deliver(1000, 12)
    collecting = check_drift(watched.home, "shapes")
    assert (collecting.verdict, collecting.new, collecting.waiting) == ("collecting", 12, 12)
    watched.deliver(1012, 24)
    steady = check_drift(watched.home, "shapes")
    assert (steady.verdict, steady.waiting) == ("steady", 6)
    (window,) = steady.windows
    assert len(window.items) == 30
    assert {test.name for test in window.tests} >= {"bytes", "mean", "std", "frechet_shapes_cnn"}
    assert ("width", "always 8") in {(each.name, each.reason) for each in window.skipped}
    # Of five windows, only those are tested that a decision can look at.
    watched.deliver(1036, 120)
    many = check_drift(watched.home, "shapes")
    assert (many.verdict, many.waiting, many.new) == ("steady", 6, 156)
    assert [window.number for window in many.windows] == [3, 4, 5]
    kept = DriftStore(watched.home, "shapes").state().windows
    assert [bool(window.tests) for window in kept] == [True, False, True, True, True]


def test_drift_is_found_said_and_leaves_the_users_files_alone(watched):
    before = watched.everything()
    watched.deliver(1000, 60, bright=150)
    delivered = watched.everything()
    decision = check_drift(watched.home, "shapes")
    assert decision.verdict == "drift"
    assert decision.reason.startswith("2 of the latest 2 windows drifted, the latest among them: ")
    assert {"mean", "frechet_shapes_cnn"} <= set(decision.windows[-1].what)
    assert decision.models == ("shapes-vae",)
    assert watched.everything() == delivered
    assert watched.everything()[1:] == before[1:]
    assert list((watched.home.root / ".genmint" / "checkouts").glob("*")) == []
    (record,) = (watched.home.root / ".genmint" / "drift" / "shapes" / "looks").glob("*.json")
    assert DriftCheck.model_validate_json(record.read_text()) == decision

    # What people see of it.
    shown = watched.checkout.run("genmint", "drift", "shapes").stdout
    assert "shapes: drift: 2 of the latest 2 windows drifted" in shown
    told = json.loads(watched.checkout.run("genmint", "drift", "--json").stdout)
    assert told[0]["verdict"] == "drift"


@pytest.mark.soak
def test_a_retraining_is_asked_for_once_and_then_its_data_are_what_is_known(watched):
    watched.deliver(1000, 60, bright=150)
    delivered = watched.everything()
    decision = check_drift(watched.home, "shapes")
    # Asked for once, and again only where it failed.
    DriftStore(watched.home, "shapes").ask(ASKED)
    assert check_drift(watched.home, "shapes").verdict == "retraining"
    running = check_drift(watched.home, "shapes", progress=lambda _: "running")
    assert running.verdict == "retraining"
    failed = check_drift(watched.home, "shapes", progress=lambda _: "failed")
    assert failed.verdict == "drift"
    assert "failed, so it is requested again" in failed.reason

    # Retrained on the new data, as the flow `retrain` publishes it: they are what is known now.
    commit = git(watched.home, "rev-parse", "HEAD").strip()
    with checked_out(watched.home, commit, "retraining") as checkout:
        copy_sources(watched.home, checkout, params_at(watched.home, commit), ("shapes",))
        run_dvc(checkout, "repro", "--quiet", "reference@shapes")
        assert publish(watched.home, checkout, commit, "abc", "retrained", models=[])
    after = check_drift(watched.home, "shapes")
    assert (after.verdict, after.new, after.windows) == ("nothing new", 0, ())
    assert after.baseline != decision.baseline
    assert watched.everything() == delivered


def test_bad_files_are_stopped_by_great_expectations_until_they_are_gone(watched):
    watched.deliver(1000, 60, bright=150)
    watched.deliver_bad(20)
    for _ in range(2):
        stopped = check_drift(watched.home, "shapes")
        assert stopped.verdict == "stopped"
        assert "shapes failed its validation: 20 of 230 items failed validation" in stopped.reason
        # What it refers to outlives the checkout.
        kept = watched.home.root / ".genmint" / "drift" / "shapes" / "stopped"
        assert f"See {kept / 'quarantine.csv'} and {kept / 'validation.html'}" in stopped.reason
        assert (kept / "quarantine.csv").read_text().count("not a png") == 20
        assert (kept / "validation.html").exists()
        assert stopped.windows == ()
    shown = watched.checkout.run("genmint", "drift", "--look", "shapes", ok=False)
    assert shown.returncode == 1
    assert "stopped" in shown.stdout
    for path in watched.folder.glob("bad-*"):
        path.unlink()
    assert check_drift(watched.home, "shapes").verdict == "drift"


def test_a_folder_that_is_gone_is_said(watched):
    watched.folder.rename(watched.folder.with_name("elsewhere"))
    stopped = check_drift(watched.home, "shapes")
    assert stopped.verdict == "stopped"
    assert "datasets.shapes.path" in stopped.reason
    assert "no such file or folder on this machine" in stopped.reason


def test_a_baseline_that_nobody_has_is_an_error_not_a_verdict(watched):
    check_drift(watched.home, "shapes")
    baseline_folder = watched.home.root / ".genmint" / "drift" / "shapes" / "baseline"
    assert read_json(baseline_folder / "about.json")["commit"]
    import shutil

    shutil.rmtree(baseline_folder)
    shutil.rmtree(watched.home.root / ".dvc" / "cache" / "files")
    watched.deliver(1000, 1)
    with pytest.raises(GenmintError, match=r"not in DVC's cache, and there is no remote"):
        check_drift(watched.home, "shapes")


def test_without_a_training_run_there_is_nothing_to_compare_with(watched):
    watched.checkout.run("git", "rm", "-q", "--cached", "dvc.lock")
    watched.checkout.run("git", "-c", "user.name=t", "-c", "user.email=t@example.org",
                         "commit", "-qm", "without")  # fmt: skip
    decision = check_drift(watched.home, "shapes")
    assert decision.verdict == "no baseline"
    assert "dvc repro reference@shapes" in decision.reason


def test_one_drift_check_at_a_time(watched):
    with (
        DriftStore(watched.home, "shapes").alone(),
        pytest.raises(GenmintError, match="another drift check of shapes is running"),
    ):
        check_drift(watched.home, "shapes")


def test_what_is_not_committed_is_refused_by_name_unless_told_otherwise(watched):
    path = watched.home.params
    path.write_text(path.read_text().replace("window: 30", "window: 40"))
    with pytest.raises(ConfigError, match=r"params\.yaml"):
        check_drift(watched.home, "shapes")
    decision = check_drift(watched.home, "shapes", ignore_uncommitted=True)
    assert decision.rule.window == 30
    assert watched_sets(watched.home, ignore_uncommitted=True) == ["shapes"]
    with pytest.raises(ConfigError, match=r"no entry drift\.other"):
        check_drift(watched.home, "other", ignore_uncommitted=True)


def test_a_damaged_state_is_named(watched):
    store = DriftStore(watched.home, "shapes")
    store.folder.mkdir(parents=True)
    (store.folder / "state.json").write_text('{"baseline": 3}')
    with pytest.raises(GenmintError, match=r"state\.json: baseline: .* Remove it"):
        check_drift(watched.home, "shapes")


def test_a_commit_that_only_changes_code_keeps_the_baseline(watched):
    commit = git(watched.home, "rev-parse", "HEAD").strip()
    found = baseline.find_origin(watched.home, "shapes", commit)
    assert found is not None
    (watched.checkout.root / "README.md").write_text("changed\n")
    watched.checkout.commit("words")
    later = git(watched.home, "rev-parse", "HEAD").strip()
    assert baseline.find_origin(watched.home, "shapes", later).key == found.key


def test_items_that_are_read_otherwise_are_not_compared(watched):
    path = watched.home.params
    path.write_text(path.read_text().replace("resolution: 8", "resolution: 16"))
    watched.checkout.commit("larger")
    watched.deliver(1000, 60, bright=150)
    decision = check_drift(watched.home, "shapes")
    assert decision.verdict == "no baseline"
    assert "datasets.shapes was changed after models were trained" in decision.reason
