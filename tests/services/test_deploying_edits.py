"""After any edit of prefect.yaml the server agrees with it: random edits against a real server."""

import json
import os
import random
import shutil
import subprocess
import sys

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Late
from tests.services.conftest import ROOT
from tests.services.deployments import PULL, YEARLY, Told, entry, server, told  # noqa: F401 - fixtures

from genmint.common.errors import ConfigError
from genmint.common.project import Project
from genmint.services import api
from genmint.services.deploying import deploy_by_hand

EDITS = int(os.environ.get("GENMINT_EDITS", "100"))


class Edits:
    """Random edits of prefect.yaml and random acts of people, and what must come of them."""

    def __init__(self, told, seed):
        self.told, self.random = told, random.Random(seed)  # noqa: S311
        self.fresh = iter(range(10**6))
        # By name: schedules added by hand; slugs of those paused by hand, and of all that were
        # there; whether the deployment is paused, and what the file said of that.
        self.added, self.off, self.known, self.paused, self.said = {}, {}, {}, {}, {}

    def cron(self):
        number = next(self.fresh)
        return f"{number % 60} {number // 60 % 24} 1 1 *"

    def schedule(self):
        made = {"cron": self.cron(), "timezone": self.random.choice(["UTC", "Europe/Berlin"])}
        if self.random.random() < 0.3:
            made["parameters"] = {"label": f"s{next(self.fresh)}"}
        return self._perhaps(made, "active", [True, False])

    def _perhaps(self, made, key, values):
        if self.random.random() < 0.4:
            made[key] = self.random.choice(values)
        return made

    def values(self):
        n = next(self.fresh)
        return {
            "description": [f"text {n}"],
            "tags": [["a"], ["a", f"t{n}"]],
            "parameters": [{"seconds": float(n)}, {"label": f"l{n}", "seconds": 1.0}],
            "concurrency_limit": [1, 2, {"limit": 3, "collision_strategy": "CANCEL_NEW"},
                                  {"limit": 1, "collision_strategy": "ENQUEUE"}],
            "version": [f"v{n}"],
            "paused": [True, False],
            "work_pool": [{"name": "two"}, {"name": "one", "work_queue_name": f"q{n % 3}"},
                          {"name": "two", "job_variables": {"env": {"N": str(n)}}}],
            "enforce_parameter_schema": [True, False],
        }  # fmt: skip

    def new(self):
        made = entry(f"d{next(self.fresh)}", flow=self.random.choice(["nap", "doze"]))
        made["schedules"] = [self.schedule() for _ in range(self.random.randrange(3))]
        for key, values in self.values().items():
            if key != "work_pool":
                self._perhaps(made, key, values)
        return made

    def edit(self):
        """One edit of the file."""
        file, rng = self.told.file, self.random
        kind = rng.choice(["new", "remove", "rename", "order", *4 * ["key"], *4 * ["schedule"]])
        if kind == "new" or not file:
            file.append(self.new())
        elif kind == "remove":
            file.remove(rng.choice(file))
        elif kind == "rename":
            rng.choice(file)["name"] = f"d{next(self.fresh)}"
        elif kind == "order":
            rng.shuffle(file)
            for each in file:
                rng.shuffle(each["schedules"])
        elif kind == "key":
            key, values = rng.choice(list(self.values().items()))
            one = rng.choice(file)
            if key in one and key != "work_pool" and rng.random() < 0.5:
                del one[key]
            else:
                one[key] = rng.choice(values)
        else:
            self._edit_schedules(rng.choice(file)["schedules"])

    def _edit_schedules(self, schedules):
        kind = self.random.choice(["add", "remove", "change", "active"])
        if kind == "add" or not schedules:
            schedules.append(self.schedule())
            return
        one = self.random.choice(schedules)
        if kind == "remove":
            schedules.remove(one)
        elif kind == "change":
            one["cron"] = self.cron()
        elif "active" in one:
            del one["active"]
        else:
            one["active"] = False

    def act(self):
        """One act of a person on the server."""
        there = self.told.there()
        mine = {self.full(each): each for each in self.told.file}
        if not mine:
            return
        name = self.random.choice(list(mine))
        client, found = self.told.client, there[name]
        path = f"/deployments/{found['id']}"
        ours = [each for each in found["schedules"] if each["slug"]]
        kind = self.random.choice(
            ["add", "pause", "text", "delete", "edit", "stop", "lose", "late", "late"]
        )
        if kind == "add":
            cron = f"1 1 2 2 {len(self.added.get(name, []))}"
            api.send(client, "POST", f"{path}/schedules", [{"schedule": {"cron": cron}}])
            self.added.setdefault(name, []).append(cron)
        elif kind == "pause" and "paused" not in mine[name]:
            api.send(client, "PATCH", path, {"paused": True})
            self.paused[name] = True
        elif kind == "text":
            api.send(client, "PATCH", path, {"description": "other", "tags": ["x"],
                                             "parameters": {}, "version": "?"})  # fmt: skip
        elif kind == "delete":
            api.delete(client, path)
            self.forget(name)
        elif kind == "late":
            for run in self.told.plan_runs(found["id"]):
                client.set_flow_run_state(run["id"], Late(), force=True)
        elif ours and kind in ("edit", "lose", "stop"):
            self._act_on(path, name, self.random.choice(ours), kind)

    def _act_on(self, path, name, one, kind):
        client, path = self.told.client, f"{path}/schedules/{one['id']}"
        if kind == "edit":
            changed = {"schedule": {"cron": "2 2 3 3 *"}, "slug": one["slug"]}
            api.send(client, "PATCH", path, changed)
        elif kind == "lose":
            api.delete(client, path)
            self.off.get(name, set()).discard(one["slug"])
            self.known[name].discard(one["slug"])
        elif not one["slug"].startswith("genmint-off-"):
            # As the UI does it; the server empties the parameters then.
            api.send(client, "PATCH", path, {"active": False})
            self.off.setdefault(name, set()).add(one["slug"])

    def forget(self, name):
        for known in (self.added, self.off, self.known, self.paused, self.said):
            known.pop(name, None)

    @staticmethod
    def full(each):
        return f"{each['entrypoint'].rpartition(':')[2]}/{each['name']}"

    def deployed(self):
        """Note what a deploy makes of what people did."""
        names = {self.full(each): each for each in self.told.file}
        for name in {*self.added, *self.known, *self.paused, *self.said} - set(names):
            self.forget(name)
        for name, each in names.items():
            said = each.get("paused")
            if said is not None:
                self.paused[name] = said
            elif self.said.get(name):
                self.paused[name] = False
            self.said[name] = said

    def check(self):
        """Compare all of the server with the file."""
        there = self.told.there()
        mine = {
            name: found for name, found in there.items()
            if found["labels"].get("genmint.project") == "mine"
            and found["labels"].get("genmint.deployment") == name
        }  # fmt: skip
        assert set(mine) == {self.full(each) for each in self.told.file}
        for each in self.told.file:
            name = self.full(each)
            found = mine[name]
            assert seen(found) == expected(each)
            assert found["paused"] == self.paused.get(name, False), name
            self._check_schedules(name, each, found)
            left = {schedule["id"] for schedule in found["schedules"]}
            for run in self.told.waiting(found["id"]):
                assert run["created_by"]["id"] in left, run

    def _check_schedules(self, name, each, found):
        has = {
            (one["schedule"]["cron"], one["schedule"]["timezone"], json.dumps(one["parameters"])):
            one for one in found["schedules"]
        }  # fmt: skip
        assert len(has) == len(found["schedules"])
        wanted = {
            (one["cron"], one["timezone"], json.dumps(one.get("parameters", {}))): one
            for one in each["schedules"]
        }
        added = {(cron, None, "{}") for cron in self.added.get(name, [])}
        assert set(has) - added == set(wanted)
        assert added <= set(has)
        off, known = self.off.get(name, set()), self.known.get(name, set())
        still = set()
        for key, one in wanted.items():
            slug, active = has[key]["slug"], has[key]["active"]
            if one.get("active") is not None:
                assert active == one["active"]
                continue
            # A pause goes over to the schedule that takes the place of one that was paused by hand.
            assert active == (slug not in off) or (slug not in known and off)
            still |= set() if active else {slug}
        self.off[name], self.known[name] = still, {has[key]["slug"] for key in wanted}


def seen(found):
    limit = found["global_concurrency_limit"]
    strategy = (found["concurrency_options"] or {}).get("collision_strategy")
    return {
        "entrypoint": found["entrypoint"],
        "description": found["description"],
        "tags": found["tags"],
        "parameters": found["parameters"],
        "limit": (limit["limit"], strategy) if limit else None,
        "pool": found["work_pool_name"],
        "queue": found["work_queue_name"],
        "variables": found["job_variables"],
        "enforced": found["enforce_parameter_schema"],
        "pull": found["pull_steps"],
    }


def expected(each):
    limit, pool = each.get("concurrency_limit"), each["work_pool"]
    if isinstance(limit, int):
        limit = {"limit": limit, "collision_strategy": None}
    docstring = "Sleep." if each["entrypoint"].endswith(":nap") else None
    return {
        "entrypoint": each["entrypoint"],
        "description": each.get("description", docstring),
        "tags": each.get("tags", []),
        "parameters": each.get("parameters", {}),
        "limit": (limit["limit"], limit["collision_strategy"]) if limit else None,
        "pool": pool["name"],
        "queue": pool.get("work_queue_name", "default"),
        "variables": pool.get("job_variables", {}),
        "enforced": each.get("enforce_parameter_schema", True),
        "pull": PULL,
    }


def run_edits(told, tmp_path, seed, steps):
    foreign = foreigners(told, tmp_path)
    edits = Edits(told, seed)
    for step in range(steps):
        print(f"seed {seed}, step {step}")
        for _ in range(edits.random.randrange(1, 4)):
            edits.edit()
        told.deploy()
        edits.deployed()
        edits.check()
        before, written = told.there(), []
        told.client._client.event_hooks["request"] = [lambda one, to=written: to.append(one)]
        again = told.deploy()
        told.client._client.event_hooks["request"] = []
        assert [f"{one.method} {one.url.path}" for one in written if not reads(one)] == []
        assert not [line for line in again if line.startswith(("added", "changed", "removed"))]
        assert told.there() == before
        assert {name: before[name] for name in foreign} == foreign
        for _ in range(edits.random.randrange(3)):
            edits.act()
    told.file = []
    told.deploy()
    assert told.there() == foreign


def reads(request):
    return request.method == "GET" or request.url.path.endswith("/filter")


def foreigners(told, tmp_path):
    """A person's deployment, another project's, and a copy of one of ours made in the UI."""
    theirs = Told(told.client, tmp_path / "theirs", "theirs")
    theirs.file = [entry("theirs", YEARLY)]
    theirs.deploy()
    flow = str(told.client.create_flow_from_name("nap"))
    plan = [{"schedule": {"cron": YEARLY}, "active": True}]
    marks = {"genmint.project": "mine", "genmint.deployment": "nap/d0", "genmint.paused": False}
    for name, labels in (("hers", {}), ("copy", marks)):
        body = {"name": name, "flow_id": flow, "labels": labels, "schedules": plan,
                "work_pool_name": "two", "pull_steps": PULL}  # fmt: skip
        api.send(told.client, "POST", "/deployments/", body)
    return told.there()


def test_the_server_agrees_with_the_file_after_random_edits(told, tmp_path):
    run_edits(told, tmp_path, seed=26, steps=3)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(4))
def test_the_server_agrees_with_the_file_after_many_random_edits(told, tmp_path, seed):
    run_edits(told, tmp_path, seed, steps=EDITS)


def test_without_a_server_it_says_what_to_do(tmp_path, monkeypatch):
    for file in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "prefect.yaml").write_text("name: x\ndeployments: []\n")
    monkeypatch.chdir(tmp_path)
    with (
        temporary_settings({PREFECT_API_URL: None}),
        pytest.raises(ConfigError, match="PREFECT_API_URL"),
    ):
        deploy_by_hand(Project(tmp_path), dry_run=True)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_services_started_anew_remove_what_was_removed_from_the_file(start):
    """The example of the issue, by the commands that people use."""
    running = start("removal", "--workers", "0")
    declared = running.root / "prefect.yaml"
    text = declared.read_text()
    nightly = "    schedules: [{cron: '0 0 1 1 *'}, {cron: '0 0 2 1 *'}]\n"
    declared.write_text(text + nightly)
    assert running.stop() == 130
    running.start()
    with running.client as client:
        names = {each.name: each for each in client.read_deployments()}
    assert len(names["planned"].schedules) == 2
    one = nightly.replace(", {cron: '0 0 2 1 *'}", "")
    kept = text[: text.index("  - name: failing")] + text[text.index("  - name: planned") :]
    declared.write_text(kept + one)
    assert running.stop() == 130
    running.start()
    with running.client as client:
        names = {each.name: each for each in client.read_deployments()}
    assert "failing" not in names
    assert len(names["planned"].schedules) == 1
    declared.write_text(kept)
    env = {**running.clean_env(), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    done = subprocess.run([sys.executable, "-m", "genmint", "deploy"], cwd=running.root, env=env,
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert "changed retrain/planned" in done.stdout or "- cron" in done.stdout
    with running.client as client:
        names = {each.name: each for each in client.read_deployments()}
    assert names["planned"].schedules == []
