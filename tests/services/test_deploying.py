"""A real Prefect server agrees with prefect.yaml after each deploy, and keeps what is not ours."""

import os

import pytest
import yaml
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.states import AwaitingConcurrencySlot, Crashed, Late, Running
from tests.services.deployments import PULL, YEARLY, Told, crons, entry, server, told  # noqa: F401 - fixtures

from genmint.common.errors import ConfigError
from genmint.services import api, deployment_file, watch
from genmint.services.deployment import deploy


def test_what_was_removed_from_the_file_ends(told):
    told.file = [entry("nightly", YEARLY), entry("daily", YEARLY, "0 0 2 1 *", tags=["a"])]
    lines = told.deploy()
    assert "added nap/nightly" in lines
    assert f"  + cron '{YEARLY}' UTC" in lines
    daily = told.there()["nap/daily"]["id"]
    told.file = [entry("daily", YEARLY)]
    assert told.deploy(dry_run=True) == told.deploy() == [
        "changed nap/daily: tags",
        "  - cron '0 0 2 1 *' UTC",
        "removed nap/nightly",
        f"  - cron '{YEARLY}' UTC",
    ]  # fmt: skip
    assert list(told.there()) == ["nap/daily"]
    assert told.there()["nap/daily"]["id"] == daily
    assert crons(told.there()["nap/daily"]) == [YEARLY]
    told.file = []
    told.deploy()
    assert told.there() == {}


def test_runs_that_a_removed_schedule_made_are_deleted_late_ones_too(told):
    told.file = [entry("kept", YEARLY, "0 0 2 1 *"), entry("gone", YEARLY)]
    told.deploy()
    ids = {name: found["id"] for name, found in told.there().items()}
    kept, gone = told.plan_runs(ids["nap/kept"]), told.plan_runs(ids["nap/gone"])
    for run in (*kept, gone[0]):
        told.client.set_flow_run_state(run["id"], Late(), force=True)
    told.client.set_flow_run_state(gone[1]["id"], AwaitingConcurrencySlot(), force=True)
    by_hand = told.client.create_flow_run_from_deployment(ids["nap/kept"])
    told.file = [entry("kept", YEARLY)]
    told.deploy()
    (stays,) = [each["id"] for each in told.there()["nap/kept"]["schedules"]]
    left = told.waiting(ids["nap/kept"])
    assert {run["created_by"]["id"] for run in left if run["auto_scheduled"]} <= {stays}
    assert str(by_hand.id) in {run["id"] for run in left}
    assert told.waiting(ids["nap/gone"]) == []


def test_a_run_that_has_begun_keeps_its_deployment_until_it_ends(told):
    told.file = [entry("long", YEARLY, concurrency_limit=1)]
    told.deploy()
    id_ = told.there()["nap/long"]["id"]
    run = told.client.create_flow_run_from_deployment(id_, name="the-run")
    told.client.set_flow_run_state(run.id, Running(), force=True)
    planned = told.plan_runs(id_)
    assert len(planned) == 2
    told.file = []
    assert "the-run" in told.deploy()[0]
    assert told.there()["nap/long"]["schedules"] == []
    assert told.waiting(id_) == []
    assert told.client.read_flow_run(run.id).state.is_running()
    told.client.delete_flow_run(run.id)
    assert told.deploy() == ["removed nap/long"]
    assert told.there() == {}


def test_what_a_person_paused_stays_paused_and_what_the_file_paused_does_not(told):
    silent, said = entry("hand", YEARLY), entry("file", YEARLY, paused=True)
    told.file = [silent, said]
    told.deploy()
    there = told.there()
    told.client.pause_deployment(there["nap/hand"]["id"])
    (schedule,) = there["nap/hand"]["schedules"]
    told.client.update_deployment_schedule(there["nap/hand"]["id"], schedule["id"], active=False)
    told.file = [
        entry("hand", "0 0 3 1 *", description="new"),
        entry("file", schedules=[{"cron": YEARLY, "active": False}]),
    ]
    told.deploy()
    there = told.there()
    assert there["nap/hand"]["paused"]
    assert [each["active"] for each in there["nap/hand"]["schedules"]] == [False]
    assert not there["nap/file"]["paused"]
    assert [each["active"] for each in there["nap/file"]["schedules"]] == [False]
    told.file[1] = entry("file", schedules=[{"cron": YEARLY}])
    lines = told.deploy()
    assert [each["active"] for each in told.there()["nap/file"]["schedules"]] == [True]
    assert any("paused, by hand" in line for line in lines)


def test_a_schedule_that_a_person_added_stays_and_is_told_of(told):
    told.file = [entry("nightly", YEARLY)]
    told.deploy()
    id_ = told.there()["nap/nightly"]["id"]
    added = {"schedule": {"cron": "0 0 5 5 *", "timezone": "UTC"}, "active": True}
    api.send(told.client, "POST", f"/deployments/{id_}/schedules", [added])
    told.file = [entry("nightly", "0 0 4 1 *", description="new")]
    assert "    cron '0 0 5 5 *' UTC: added by hand, stays" in told.deploy()
    assert crons(told.there()["nap/nightly"]) == ["0 0 4 1 *", "0 0 5 5 *"]
    # Put into the file, it is one schedule, not two.
    told.file = [entry("nightly", "0 0 5 5 *")]
    told.deploy()
    assert crons(told.there()["nap/nightly"]) == ["0 0 5 5 *"]
    told.file = [entry("nightly")]
    told.deploy()
    assert crons(told.there()["nap/nightly"]) == []


def test_what_prefect_deployed_before_is_taken_over(told):
    """Deployments of an earlier genmint carry no mark; those not in the file stay."""
    told.file = [entry("nightly", YEARLY, "0 0 2 1 *"), entry("old", YEARLY)]
    told.deploy_as_prefect_does()
    id_ = told.there()["nap/nightly"]["id"]
    told.file = [entry("nightly", YEARLY)]
    lines = told.deploy()
    assert "  - cron '0 0 2 1 *' UTC" in lines
    assert told.there()["nap/nightly"]["id"] == id_
    assert crons(told.there()["nap/nightly"]) == [YEARLY]
    assert crons(told.there()["nap/old"]) == [YEARLY]
    assert any("nap/old" in line and "prefect deployment delete" in line for line in lines)
    told.file = []
    told.deploy()
    assert list(told.there()) == ["nap/old"]


def test_the_deployment_of_a_person_is_never_overwritten(told):
    flow = str(told.client.create_flow_from_name("nap"))
    body = {"name": "own", "flow_id": flow, "pull_steps": [], "work_pool_name": "two"}
    api.send(told.client, "POST", "/deployments/", body)
    before = told.there()
    told.file = [entry("other", YEARLY), entry("own", YEARLY)]
    with pytest.raises(ConfigError, match=r"nap/own .*prefect deployment delete"):
        told.deploy()
    assert told.there() == before


def test_two_projects_share_a_server(told, tmp_path):
    theirs = Told(told.client, tmp_path / "theirs", "theirs")
    theirs.file = [entry("a", YEARLY)]
    told.file = [entry("b", YEARLY)]
    theirs.deploy()
    told.deploy()
    told.file, kept = [], told.there()["nap/a"]
    told.deploy()
    assert told.there() == {"nap/a": kept}
    told.file = [entry("c", YEARLY), entry("a", YEARLY)]
    with pytest.raises(ConfigError, match=r"nap/a .*'theirs'.*formerly: \[theirs\]"):
        told.deploy()
    assert told.there() == {"nap/a": kept}
    # The same project under a new name.
    told.formerly, told.file = ["theirs"], [entry("c", YEARLY)]
    told.deploy()
    assert list(told.there()) == ["nap/c"]


def test_a_limit_that_a_person_attached_is_neither_changed_nor_deleted(told):
    told.file = [entry("a", concurrency_limit=1), entry("b")]
    told.deploy()
    limit = told.client.create_global_concurrency_limit(
        GlobalConcurrencyLimitCreate(name="budget", limit=7)
    )
    for found in told.there().values():
        body = {"global_concurrency_limit_id": str(limit)}
        api.send(told.client, "PATCH", f"/deployments/{found['id']}", body)
    told.file = [entry("a", concurrency_limit=2)]
    told.deploy()
    assert told.client.read_global_concurrency_limit_by_name("budget").limit == 7
    assert told.there()["nap/a"]["global_concurrency_limit"]["limit"] == 2
    told.file = []
    told.deploy()
    limits = api.every(told.client, "/v2/concurrency_limits/filter")
    assert [each["name"] for each in limits] == ["budget"]
    told.client.delete_global_concurrency_limit_by_name("budget")


@pytest.mark.soak
def test_triggers_follow_the_file(told):
    trigger = {"expect": ["prefect.flow-run.Completed"], "posture": "Reactive"}
    told.file = [entry("a", triggers=[{**trigger, "name": "one"}, {**trigger, "name": "two"}])]

    def names():
        return sorted(each.name for each in told.client.read_automations())

    told.deploy()
    assert names() == ["one", "two"]
    assert told.deploy() == []
    told.file = [entry("a", triggers=[{**trigger, "name": "two"}])]
    assert told.deploy() == ["changed nap/a: triggers"]
    assert names() == ["two"]
    told.file = []
    told.deploy()
    assert names() == []


BROKEN = {
    "no list": (lambda text: text.pop("deployments"), "deployments: \\[\\]"),
    "no project": (lambda text: text.pop("name"), "`name` is missing"),
    "misspelt": (lambda text: text["deployments"][1].update(schedule_s=[]), "schedule_s"),
    "no name": (lambda text: text["deployments"][1].pop("name"), "`name` is missing"),
    "twice": (lambda text: text["deployments"].append(text["deployments"][0]), "twice"),
    "cron": (lambda text: text["deployments"][1]["schedules"].append({"cron": "x"}), "b: .*cron"),
    "same": (lambda text: text["deployments"][1].update(schedules=2 * [{"cron": YEARLY}]), "twice"),
    "flow": (lambda text: text["deployments"][1].update(entrypoint="pipelines/flows.py:no"), "b: "),
    "pool": (lambda text: text["deployments"][1]["work_pool"].update(name="no"), "'no'"),
    "parameter": (lambda text: text["deployments"][1].update(parameters={"seconds": "x"}), "b: "),
    "limit": (lambda text: text["deployments"][1].update(concurrency_limit=0), "limit 0"),
}


# Seen without loading the flows.
QUICK = ("no list", "no project", "misspelt", "no name")


@pytest.mark.parametrize(
    "what",
    [each if each in QUICK else pytest.param(each, marks=pytest.mark.soak)
     for each in BROKEN],
)  # fmt: skip
def test_of_a_file_that_is_not_valid_nothing_is_deployed(told, server, what):
    told.file = [entry("a", YEARLY)]
    told.deploy()
    before = told.there()
    change, said = BROKEN[what]
    text = {"name": "mine", "pull": PULL}
    text["deployments"] = [entry("a", "0 0 9 9 *"), entry("b", YEARLY)]
    change(text)
    (told.root / "prefect.yaml").write_text(yaml.safe_dump(text))
    env = {**os.environ, "PREFECT_API_URL": server}
    with pytest.raises(ConfigError, match=said) as refused:
        deploy(
            told.client,
            deployment_file.read_deployment_file(told.root, env, told.root / "cache.json"),
        )
    assert "\n" not in str(refused.value)
    assert told.there() == before


def test_a_crashed_run_whose_deployment_was_removed_is_not_tried_for_ever(told, monkeypatch):
    told.file = [entry("a")]
    told.deploy()
    runs = [told.client.create_flow_run_from_deployment(told.there()["nap/a"]["id"])]
    told.client.set_flow_run_state(runs[0].id, Crashed(), force=True)
    told.file = [entry("b")]
    told.deploy()
    runs.append(told.client.create_flow_run_from_deployment(told.there()["nap/b"]["id"]))
    told.client.set_flow_run_state(runs[1].id, Crashed(), force=True)
    monkeypatch.setattr(watch, "_CRASHED_GRACE_SECONDS", -1)
    said = []
    watch.Watch(told.client, str(told.root), "x:", resumes=True, say=said.append).check()
    names = [told.client.read_flow_run(run.id).state.name for run in runs]
    assert names == ["Crashed", "Resumed"]
    assert any("its deployment was removed" in line for line in said)
