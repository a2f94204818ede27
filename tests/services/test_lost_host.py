"""A machine that falls silent: its run goes on elsewhere, and it must not come back to it."""

import signal
import time

import psutil
import pytest

from genmint.services.processes import FLOW_RUN, marked


def freeze(host, number):
    """Stop or continue all of a machine, as its kernel or network would."""
    for process in (psutil.Process(host.process.pid), *host.processes()):
        process.send_signal(number)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_run_of_a_lost_host_goes_on_elsewhere(start, tmp_path):
    here = start("head", "--name", "here")
    api = f"http://127.0.0.1:{here.prefect_port}/api"
    there = start(
        "host", "--name", "there", "--workers-only",
        PREFECT_API_URL=api, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{here.mlflow_port}",
    )  # fmt: skip
    runs = [here.ask("nap/gpu", seconds=[600, 0], out=str(tmp_path / name)) for name in ("a", "b")]
    for run in runs:
        here.wait_until(run, "Running", 60)
    with here.client as client:
        workers = {client.read_flow_run(run).labels["prefect.worker.name"]: run for run in runs}
    lost = workers["there:gpu-0"]
    # Until the first heartbeat there is none to miss.
    time.sleep(5)
    freeze(there, signal.SIGSTOP)
    silent = time.monotonic()
    try:
        here.wait_for(lambda: "Crashed" in here.states(lost), 200, "its run is marked Crashed")
        took = time.monotonic() - silent
        print(f"Crashed {took:.0f} s after the host fell silent")
        assert took < 150
        # One device is left, and it is taken: the run waits for it.
        assert "Completed" not in here.states(lost)
        here.cancel(workers["here:gpu-0"])
        here.wait_until(lost, "Completed", 90)
        assert here.states(workers["here:gpu-0"])[-1] == "Cancelled"
    finally:
        freeze(there, signal.SIGCONT)

    def ended():
        left = [p for p, env in marked(str(there.state)) if env.get(FLOW_RUN) == str(lost)]
        return not left

    here.wait_for(ended, 60, "the host that came back ends what is no longer its own")
    assert here.states(lost)[-1] == "Completed"
