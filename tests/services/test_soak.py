"""Prefect's server under many short runs: no lock error, no run lost, none run twice."""

import os
import re
import time
from collections import Counter

import pytest

TROUBLE = re.compile(r".*(?:database is locked|OperationalError|deadlock|QueuePool limit).*", re.I)
SECONDS = float(os.environ.get("GENMINT_SOAK_SECONDS", "600"))
# More than three workers can begin, so that they all are busy all the time.
AHEAD = 12


@pytest.mark.soak
@pytest.mark.timeout(int(SECONDS) + 900)
def test_three_workers_with_short_runs_meet_no_lock_error(start, tmp_path):
    running = start("soak", "--workers", "3")
    out = tmp_path / "begun"
    asked, ended, deadline = [], Counter(), time.monotonic() + SECONDS
    with running.client as client:
        deployment = client.read_deployment_by_name("nap/gpu").id
        open_runs = set()
        while open_runs or time.monotonic() < deadline:
            while len(open_runs) < AHEAD and time.monotonic() < deadline:
                run = client.create_flow_run_from_deployment(
                    deployment, parameters={"seconds": [0.1], "out": str(out)}
                )
                asked.append(run.id)
                open_runs.add(run.id)
            for id_ in list(open_runs):
                state = client.read_flow_run(id_).state
                if state.is_final():
                    ended[state.name] += 1
                    open_runs.remove(id_)
            assert time.monotonic() < deadline + 300, f"{len(open_runs)} runs never end"
            time.sleep(0.5)
    begun = out.read_text().splitlines()
    logs = {path.name: path.read_text() for path in (running.state / "logs").iterdir()}
    trouble = {name: TROUBLE.findall(text)[:5] for name, text in logs.items()}
    print(f"{len(asked)} runs in {SECONDS:.0f} s: {dict(ended)}; {dict(Counter(begun))}")
    assert not any(trouble.values()), trouble
    assert ended == {"Completed": len(asked)}
    assert len(begun) == len(asked)
    assert len({line.split()[0] for line in begun}) == 3
