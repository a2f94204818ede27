"""A task run that waits is shown as waiting, and not as work."""

import threading
import time
from datetime import datetime

import httpx
import pytest
from prefect import flow, task
from tests.services.conftest import wait_for

from genmint.flow.slots import Slots
from genmint.services.waiting import CORES, LOCK, Wait, showing_locks, waiting

pytestmark = pytest.mark.usefixtures("prefect_alone")


def history(api, name):
    """The task run of this name as the server has it, and the names of its states."""
    runs = httpx.post(f"{api}/task_runs/filter", json={"task_runs": {"name": {"any_": [name]}}})
    (run,) = runs.json()
    states = httpx.get(f"{api}/task_run_states/", params={"task_run_id": run["id"]}).json()
    return run, [state["name"] for state in sorted(states, key=lambda each: each["timestamp"])]


def completed(api, name):
    def look():
        run, states = history(api, name)
        return (run, states) if run["state_name"] == "Completed" else None

    return wait_for(look, 60, f"{name} is completed")


def test_time_that_a_task_waits_does_not_count_as_run_time(prefect_api):
    @task(task_run_name="waits-first")
    def work():
        with waiting(CORES):
            time.sleep(1.0)
        time.sleep(0.2)

    flow(work)()
    run, states = completed(prefect_api, "waits-first")
    assert states == ["Pending", "Running", CORES, "Running", "Completed"]
    assert 0.2 <= run["total_run_time"] < 1.0
    # Its bar in the picture of the flow begins when it works.
    assert run["run_count"] == 1
    began, ended = (datetime.fromisoformat(run[key]) for key in ("start_time", "end_time"))
    assert (ended - began).total_seconds() < 1.0


def test_a_task_that_fails_while_it_waits_has_failed(prefect_api):
    @task(task_run_name="fails")
    def work():
        with waiting(CORES):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        flow(work)()
    wait_for(lambda: history(prefect_api, "fails")[1][-1] == "Failed", 60, "it failed")


def test_lines_of_stages_that_wait_for_a_lock_are_shown(prefect_api):
    lines = [
        "Stage 'prepare@d' didn't change, skipping",
        "ERROR: failed to reproduce 'train@a': '/x' is busy, it is being blocked by:",
        "  (PID 12): dvc repro",
        "Running stage 'train@a':",
        "a: waits for gpu-0, held by b, process 17",
        "a: waits for gpu-0, held by b, process 17",
        "a: step 1/10",
    ]
    heard = []

    @task(task_run_name="locks")
    def work():
        with showing_locks(heard.append) as say:
            for line in lines:
                say(line)
                time.sleep(0.01)

    flow(work)()
    _, states = completed(prefect_api, "locks")
    assert states == ["Pending", "Running", LOCK, "Running", LOCK, "Running", "Completed"]
    assert heard == lines


def test_outside_of_a_task_nothing_happens():
    with Wait(LOCK) as wait:
        wait.begin("x")
        wait.end()
    with waiting(CORES):
        pass


def test_a_task_with_a_free_core_does_not_wait():
    entered = []

    class Waits:
        def __enter__(self):
            entered.append(True)

        def __exit__(self, *_):
            pass

    slots, free, taken = Slots(1), threading.Event(), threading.Event()
    with slots.taken(0.0, Waits()):
        assert entered == []

    def occupy():
        with slots.taken():
            taken.set()
            free.wait(10)

    other = threading.Thread(target=occupy)
    other.start()
    taken.wait(10)
    threading.Timer(0.3, free.set).start()
    with slots.taken(0.0, Waits()):
        assert entered == [True]
    other.join()
