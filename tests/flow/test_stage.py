"""DVC does the stages; this tells what it did, and what may heal."""

import threading
import time

import pytest

from genmint.common.errors import ConfigError, DataError, GenmintError, RegistryUnreachableError
from genmint.flow.stage import ProcessGroup, StageError, is_transient, reproduce

UP_TO_TRAIN = ["ingest@d", "prepare@d", "train@a"]


def do(repository, stages, **how):
    process_group = how.pop("process_group", None) or ProcessGroup()
    return reproduce(repository.project, stages, process_group=process_group, say=print, **how)


def results(outcomes):
    return {outcome.stage: outcome.result for outcome in outcomes}


def test_ran_then_unchanged_then_cached(repository):
    assert set(results(do(repository, UP_TO_TRAIN)).values()) == {"ran"}
    assert set(results(do(repository, UP_TO_TRAIN)).values()) == {"unchanged"}
    (repository.root / "dvc.lock").unlink()
    (repository.root / "models" / "a").unlink()
    assert results(do(repository, UP_TO_TRAIN))["train@a"] == "cached"
    assert (repository.root / "models" / "a").read_text() == "one\n"
    assert results(do(repository, UP_TO_TRAIN, force=["ingest", "train"])) == {
        "ingest@d": "ran",
        "prepare@d": "unchanged",
        "train@a": "ran",
    }


def test_each_stage_has_its_own_seconds(repository):
    repository.write_stages(a="sleep 1.5 && mkdir -p models && cp data/prepared/d models/a")
    begun = time.monotonic()
    outcomes = do(repository, [*UP_TO_TRAIN, "reference@d", "evaluate@a"])
    took = time.monotonic() - begun
    seconds = {outcome.stage: outcome.seconds for outcome in outcomes}
    assert seconds["train@a"] >= 1.5
    assert sum(seconds.values()) == pytest.approx(took, abs=0.5)
    assert took - seconds["train@a"] == pytest.approx(
        sum(value for stage, value in seconds.items() if stage != "train@a"), abs=0.5
    )


@pytest.mark.parametrize(
    ("train", "says", "again"),
    [
        ("exit 1", "failed to run", False),
        ("kill -9 $$", "-9", True),
        ("echo '{\"kinds\": [\"RegistryUnreachableError\", \"TemporaryError\"], \"message\": "
         "\"no answer\"}' > $GENMINT_FAILURE; exit 1", "train@a: no answer", True),
        ("echo '{\"kinds\": [\"DataError\"], \"message\": \"bad row\"}' > $GENMINT_FAILURE; exit 1",
         "train@a: bad row", False),
    ],
)  # fmt: skip
def test_a_failure_says_what_failed_and_whether_it_is_transient(repository, train, says, again):
    repository.write_stages(a=train)
    with pytest.raises(StageError, match=says) as caught:
        do(repository, UP_TO_TRAIN)
    assert caught.value.stage == "train@a"
    assert is_transient(caught.value) is again


def test_transient_errors_of_genmint_are_those_of_lock_network_and_tracker():
    assert is_transient(RegistryUnreachableError("x"))
    assert not any(
        is_transient(kind("x")) for kind in (GenmintError, ConfigError, DataError, ValueError)
    )


def test_side_by_side_in_one_checkout_none_is_lost(repository):
    """Two plain `dvc repro` at once: one of them fails on DVC's lock."""
    do(repository, ["ingest@d", "prepare@d"])
    found = {}

    def one(name):
        found[name] = results(do(repository, [f"train@{name}"]))[f"train@{name}"]

    threads = [threading.Thread(target=one, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"a": "ran", "b": "ran"}
    assert results(do(repository, ["train@a", "train@b"])) == {
        "train@a": "unchanged",
        "train@b": "unchanged",
    }


def test_what_ran_before_dvc_met_another_process_still_ran(repository):
    """DVC is asked again when it is busy, and then calls what it has just run unchanged."""
    busy = "echo 'ERROR: Unable to acquire lock'"
    meets = f"test -e met || {{ touch met; {busy}; exit 1; }}; cp data/prepared/d models/b"
    repository.write_stages(b=meets)
    outcomes = do(repository, ["ingest@d", "prepare@d", "train@a", "train@b"])
    assert set(results(outcomes).values()) == {"ran"}


def test_stages_run_the_code_of_their_checkout(repository):
    package = repository.root / "src" / "genmint"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "from pathlib import Path\nPath('models').mkdir()\nPath('models/a').write_text('mine')\n"
    )
    # The keeper does not come from there: an older revision has none.
    repository.write_stages(a="python -m genmint train a")
    do(repository, UP_TO_TRAIN)
    assert (repository.root / "models" / "a").read_text() == "mine"


def test_where_nothing_may_train_dvc_still_finds_what_is_cached(repository):
    train = 'test "$GENMINT_DEVICE" != none && mkdir -p models && cp data/prepared/d models/a'
    repository.write_stages(a=train)
    do(repository, ["ingest@d", "prepare@d"])
    with pytest.raises(StageError):
        do(repository, ["train@a"], may_train=False)
    do(repository, ["train@a"])
    (repository.root / "models" / "a").unlink()
    (repository.root / "dvc.lock").unlink()
    do(repository, ["ingest@d", "prepare@d"])
    assert results(do(repository, ["train@a"], may_train=False)) == {"train@a": "cached"}


def test_an_ended_process_group_ends_its_stages_and_starts_no_more(repository):
    repository.write_stages(a="touch begun && sleep 300")
    process_group = ProcessGroup()
    do(repository, ["ingest@d", "prepare@d"])
    ending = threading.Timer(0.1, process_group.end)

    def say(line):
        if line.startswith("Running stage 'train@a'"):
            ending.start()

    with pytest.raises(StageError):
        reproduce(repository.project, ["train@a"], process_group=process_group, say=say)
    with pytest.raises(GenmintError, match="the flow is ending"):
        do(repository, ["train@b"], process_group=process_group)
