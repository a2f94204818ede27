"""Real servers, real workers, real kills: one `genmint services`, looked at from all sides."""

import contextlib
import datetime
import itertools
import os
import signal
import subprocess
import sys

import httpx
import psutil
import pytest
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
)
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.schemas.events import Event, Resource
from prefect.settings import PREFECT_API_URL, temporary_settings
from tests.e2e.browser import CHROMIUM
from tests.services.hostile import NOTHING, attack, created

from genmint.common.cores import cores
from genmint.common.tags import REFUSALS_LABEL
from genmint.services import alerts
from genmint.services.processes import FLOW_RUN, marked
from genmint.services.scheduled import ScheduledEvents


@pytest.fixture(scope="module")
def running(start, listener):
    urls = " ".join(urls_of(listener))
    return start("services", "--workers", "2", "--name", "here", "--refusals", "2", ALERTS=urls)


def urls_of(listener):
    return [f"{how}://127.0.0.1:{listener.port}/{to}"
            for how, to in (("http", "hook"), ("json", "apprise"))]  # fmt: skip


def processes_of(running, run):
    return [p for p, env in marked(str(running.state)) if env.get(FLOW_RUN) == str(run)]


def begun(out):
    return out.read_text().splitlines() if out.exists() else []


def automations_of(running):
    with running.client as client:
        found = client.read_automations()
    assert len({each.name for each in found}) == len(found)
    return {each.name: str(each.id) for each in found}


def test_pools_queues_and_deployments_are_there(running):
    with running.client as client:
        for pool in ("cpu", "gpu"):
            assert client.read_work_pool(pool).type == "process"
            queues = client.read_work_queues(work_pool_name=pool)
            first = sorted(queues, key=lambda queue: queue.priority)
            assert [queue.name for queue in first][:2] == ["person", "nightly"]
        names = {deployment.name for deployment in client.read_deployments()}
        assert names == {"gpu", "cpu", "failing", "planned"}

        def both():
            found = client.read_workers_for_work_pool("gpu")
            return {worker.name for worker in found} == {"here:gpu-0", "here:gpu-1"}

        # They start after what prefect.yaml says is deployed.
        running.wait_for(both, 120, "both workers are known")


def test_automations_are_repaired(running, listener):
    before = automations_of(running)
    api = f"http://127.0.0.1:{running.prefect_port}/api"
    with temporary_settings({PREFECT_API_URL: api}), running.client as client:
        for refusals in (3, 2):
            alerts.install(client, urls_of(listener), refusals)
            found = client.find_automation("genmint: refused again and again")
            assert found.trigger.match[REFUSALS_LABEL][0] == str(refusals)
    assert automations_of(running) == before


def test_both_servers_answer_on_loopback_only(running):
    assert httpx.get(f"http://127.0.0.1:{running.mlflow_port}/health").text == "OK"
    for port in (running.mlflow_port, running.prefect_port):
        listening = {
            found.laddr.ip
            for found in psutil.net_connections("tcp")
            if found.status == "LISTEN" and found.laddr.port == port
        }
        assert listening == {"127.0.0.1"}


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_page_of_another_origin_reads_nothing_and_runs_nothing(running, tmp_path):
    """It would run its own command on the worker, and read the tokens of webhooks."""
    with running.client as client:
        wanted = client.read_deployment_by_name("nap/gpu").id
        before = len(client.read_flow_runs())
    assert attack(running, tmp_path, wanted) == (NOTHING, False)
    with running.client as client:
        assert len(client.read_flow_runs()) == before
    assert not created(f"http://127.0.0.1:{running.mlflow_port}")


def test_the_api_takes_no_request_without_a_token_of_its_own(running):
    """Whoever asks for a token first is served: workers, flows and the UI do."""
    api = f"http://127.0.0.1:{running.prefect_port}/api"
    refused = httpx.post(f"{api}/flows/filter", json={})
    assert (refused.status_code, refused.json()) == (403, {"detail": "Missing CSRF token."})
    answer = httpx.get(f"{api}/health", headers={"Origin": "http://127.0.0.1:1"})
    assert "access-control-allow-origin" not in answer.headers


def test_prefect_in_the_project_finds_the_server_by_itself(running):
    listed = subprocess.run(
        [sys.executable, "-m", "prefect", "deployment", "ls"],
        cwd=running.root, env={**running.clean_env(), "COLUMNS": "200"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert "nap/gpu" in listed.stdout, listed.stdout + listed.stderr


def test_a_second_supervisor_is_refused(running):
    command = [sys.executable, "-m", "genmint", "services"]
    done = subprocess.run(command, cwd=running.root, capture_output=True, text=True)
    assert done.returncode == 1
    assert "another `genmint services`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_outlives_its_worker(running, tmp_path, listener):
    out = tmp_path / "begun"
    run = running.ask("nap/gpu", seconds=[60, 0], out=str(out))
    running.wait_for(lambda: begun(out), 40, "the run begins")
    (device, threads), *_ = (line.split() for line in begun(out))
    assert threads == str(max(1, cores() // 2))
    children = running.wait_for(lambda: processes_of(running, run)[1:], 10, "its child")
    worker = running.kill(f"worker {device}")
    psutil.wait_procs(children, timeout=10)
    running.wait_for(
        lambda: not any(child.is_running() for child in children), 10, "the child ends"
    )
    running.wait_until(run, "Completed", 60)
    assert "Crashed" in running.states(run)
    assert len(begun(out)) == 2
    assert running.wait_for(lambda: running.pid(f"worker {device}"), 20, "a new worker") != worker


@pytest.mark.soak
def test_a_run_outlives_its_own_process(running, tmp_path):
    out = tmp_path / "begun"
    run = running.ask("nap/gpu", seconds=[60, 0], out=str(out))
    running.wait_for(lambda: begun(out), 40, "the run begins")
    running.wait_for(lambda: len(processes_of(running, run)) == 2, 10, "its child")
    engine, child = sorted(processes_of(running, run), key=lambda found: found.create_time())
    assert child.ppid() == engine.pid
    os.kill(engine.pid, signal.SIGKILL)
    running.wait_for(lambda: not child.is_running(), 20, "the child ends")
    running.wait_until(run, "Completed", 60)
    assert "Crashed" in running.states(run)
    assert len(begun(out)) == 2


def test_people_are_notified_of_failures(running, listener):
    """By a plain webhook and by Apprise; a flow that is not ours is nobody's affair."""
    run = running.ask("retrain/failing", fail=True, seconds=[0])
    other = running.ask("nap/gpu", fail=True, seconds=[0])
    for asked in (run, other):
        running.wait_until(asked, "Failed", 60)
    heard = listener.wait_for("/hook", "a flow failed", "told to fail")
    assert heard["text"].startswith("retrain (")
    assert heard["resource"] == f"prefect.flow-run.{run}"
    assert "told to fail" in listener.wait_for("/apprise", "told to fail")["message"]
    crashed = running.ask("retrain/failing", seconds=[60])
    engine = running.wait_for(lambda: processes_of(running, crashed)[:1], 40, "its process")[0]
    running.wait_for(lambda: "Running" in running.states(crashed), 20, "it runs")
    os.kill(engine.pid, signal.SIGKILL)
    listener.wait_for("/hook", "a flow run crashed", str(crashed))
    with running.client as client:
        client.delete_flow_run(crashed)
    assert not any(str(other) in str(body) for _, body in listener.heard)


@pytest.mark.soak
def test_people_hear_at_once_of_what_a_young_schedule_runs(running, listener):
    with running.client as client:
        planned = client.read_deployment_by_name("retrain/planned").id
        (schedule,) = client.create_deployment_schedules(
            planned, [(IntervalSchedule(interval=datetime.timedelta(seconds=20)), True)]
        )

        def failed():
            runs = client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[planned]))
            )
            return [run for run in runs if run.state.is_failed()]

        run = running.wait_for(failed, 90, "a run of the schedule fails")[0]
        client.delete_deployment_schedule(planned, schedule.id)
    assert run.auto_scheduled
    listener.wait_for("/hook", "a flow failed", str(run.id))
    # Told again, as after a start of the supervisor, it is the same event; a deleted run has none.
    with running.client as client:
        ScheduledEvents(client).tell_of([run])
        client.delete_flow_run(run.id)
        ScheduledEvents(client).tell_of([run])
        # Prefect writes events to its database in their order, every five seconds.
        last = Event(event="last", resource=Resource({"prefect.resource.id": f"last.{run.id}"}))
        client.request("POST", "/events", json=[last.model_dump(mode="json")])

        def total(event, resource):
            wanted = {"event": {"name": [event]}, "resource": {"id": [resource]}}
            found = client.request("POST", "/events/filter", json={"filter": wanted})
            return found.json()["total"]

        running.wait_for(lambda: total("last", f"last.{run.id}"), 60, "the last event is kept")
        assert total("prefect.flow-run.Scheduled", f"prefect.flow-run.{run.id}") == 1


def test_people_are_notified_of_gates_and_reverted_aliases(running, listener):
    emit = """
import sys
from prefect.events import emit_event
from genmint.common.tags import PUT_BACK_EVENT, REFUSALS_LABEL, REFUSED_EVENT
for name, event, labels in (
    ("once", REFUSED_EVENT, {REFUSALS_LABEL: "1"}),
    ("twice", REFUSED_EVENT, {REFUSALS_LABEL: "2"}),
    ("moved", PUT_BACK_EVENT, {}),
):
    labels |= {"prefect.resource.id": f"genmint.model.{name}", "prefect.resource.name": name}
    emit_event(event, resource=labels, payload={"reason": 'since "it" blurs'})
"""
    api = f"http://127.0.0.1:{running.prefect_port}/api"
    env = {**os.environ, "PREFECT_API_URL": api}
    subprocess.run([sys.executable, "-c", emit], env=env, check=True)
    for path, key in (("/hook", "text"), ("/apprise", "message")):
        for name, what in (("twice", "again and again"), ("moved", "put back")):
            assert listener.wait_for(path, what, name)[key] == f'{name}: since "it" blurs'
    assert not any("once" in str(body) for _, body in listener.heard)


@contextlib.contextmanager
def no_worker_of(running):
    """The workers of `genmint services` that train take no run meanwhile."""
    workers = [running.pid("worker gpu-0"), running.pid("worker gpu-1")]
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGCONT)


@pytest.mark.parametrize(
    "name",
    # The last is the very name of a worker of ours: Prefect refuses none.
    ["here:gpus-0-1", pytest.param("here:gpu-0", marks=pytest.mark.soak)],
)
def test_the_run_of_a_worker_that_was_started_by_hand_is_left_alone(running, tmp_path, name):
    out = tmp_path / "begun"
    with no_worker_of(running), running.by_hand(name, tmp_path / "log"):
        # Longer than a run of ours may be without a process.
        run = running.ask("nap/gpu", seconds=[9.0], out=str(out))
        running.wait_until(run, "Completed", 300)
    with running.client as client:
        assert client.read_flow_run(run).labels["prefect.worker.name"] == name
    assert "Crashed" not in running.states(run)
    assert len(begun(out)) == 1


def test_a_name_that_is_in_use_is_refused(running, napping):
    second = subprocess.run(
        [sys.executable, "-m", "genmint", "services", "--workers-only", "--name", "here"],
        cwd=napping("second"), env={**running.clean_env(), **running.addresses},
        capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert second.returncode == 2, second.stdout
    (line,) = second.stderr.splitlines()
    assert line.startswith("genmint services: --name here: worker here:")
    assert f"is in use by {running.root} on " in line
    assert "Give another --name" in line


def test_a_cancelled_run_frees_its_device(running, tmp_path):
    out = tmp_path / "begun"
    run = running.ask("nap/gpu", seconds=[120], out=str(out))
    running.wait_for(lambda: begun(out), 40, "the run begins")
    running.cancel(run)
    running.wait_until(run, "Cancelled", 40)
    running.wait_for(lambda: not processes_of(running, run), 20, "its processes end")


@pytest.mark.soak
def test_killed_servers_come_back_with_all_they_knew(running):
    with running.client as client:
        before = {deployment.id for deployment in client.read_deployments()}
    for name in ("prefect", "mlflow"):
        running.kill(name)
    addresses = [f"http://127.0.0.1:{running.prefect_port}/api/health"]
    addresses.append(f"http://127.0.0.1:{running.mlflow_port}/health")

    def all_answer():
        with contextlib.suppress(httpx.HTTPError):
            return all(httpx.get(address).is_success for address in addresses)

    running.wait_for(all_answer, 60, "both servers answer again")
    with running.client as client:
        assert {deployment.id for deployment in client.read_deployments()} == before
    run = running.ask("nap/cpu", seconds=[0])
    running.wait_until(run, "Completed", 60)


@pytest.mark.soak
def test_a_killed_prefect_server_loses_no_schedule(running):
    every = datetime.timedelta(seconds=10)
    with running.client as client:
        deployment = client.read_deployment_by_name("nap/cpu").id
        (made,) = client.create_deployment_schedules(
            deployment, [(IntervalSchedule(interval=every), True)]
        )

    def planned():
        """What was due, in order; nothing while the server is away."""
        past = FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment]),
            expected_start_time=FlowRunFilterExpectedStartTime(
                before_=datetime.datetime.now(datetime.UTC)
            ),
        )
        by_time = FlowRunSort.EXPECTED_START_TIME_ASC
        with contextlib.suppress(httpx.HTTPError), running.client as client:
            runs = client.read_flow_runs(flow_run_filter=past, sort=by_time)
            return [run for run in runs if run.auto_scheduled]
        return []

    def ran():
        return [run for run in planned() if run.state.is_completed()]

    running.wait_for(lambda: len(ran()) > 1, 150, "it fires")
    running.kill("prefect")
    running.wait_for(lambda: len(ran()) > 6, 150, "it fires again")
    until = datetime.datetime.now(datetime.UTC)

    def due():
        return [run for run in planned() if run.expected_start_time < until]

    # Not one is missing: also what was due while the server was away ran, only later.
    try:
        running.wait_for(
            lambda: due() and all(run.state.is_completed() for run in due()), 120, "all has run"
        )
        times = [run.expected_start_time for run in due()]
        assert all(later - earlier == every for earlier, later in itertools.pairwise(times))
    except AssertionError:
        print(*((run.expected_start_time, running.states(run.id)) for run in due()), sep="\n")
        raise
    finally:
        with running.client as client:
            client.delete_deployment_schedule(deployment, made.id)


@pytest.mark.soak
def test_ctrl_c_ends_all_and_the_next_start_goes_on(running, tmp_path):
    out = tmp_path / "begun"
    run = running.ask("nap/gpu", seconds=[60, 0], out=str(out))
    running.wait_for(lambda: begun(out), 40, "the run begins")
    automations = automations_of(running)
    assert running.stop() == 130
    assert running.processes() == []
    assert not (running.state / "state.json").exists()
    assert not (running.root / "prefect.toml").exists()
    running.start()
    running.wait_until(run, "Completed", 60)
    assert len(begun(out)) == 2
    # Set up again, none is there twice.
    assert automations_of(running) == automations


def test_a_killed_supervisor_takes_all_with_it(running, tmp_path):
    out = tmp_path / "begun"
    run = running.ask("nap/gpu", seconds=[60], out=str(out))
    running.wait_for(lambda: begun(out), 40, "the run begins")
    assert len(processes_of(running, run)) >= 1
    running.process.kill()
    running.process.wait()
    running.wait_for(lambda: not running.processes(), 10, "everything ends")
    settings = running.root / "prefect.toml"
    running.wait_for(lambda: not settings.exists(), 10, "nothing points to the servers any more")
