"""What a flow has in its environment however it is started: by Prefect, a worker or `python`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PIPELINES = Path(__file__).parents[2] / "pipelines"
OURS = ("GENMINT_", "MLFLOW_", "PREFECT_", "DO_NOT_TRACK", "DVC_NO", "GX_", "NO_PROXY", "no_proxy")


def settings_of(flow, **more):
    """Prefect's settings and the environment after a flow was imported by `python`."""
    code = (
        f"import sys; sys.path.insert(0, {str(PIPELINES)!r}); import {flow}\n"
        "import json, os; from prefect.settings import get_current_settings as now\n"
        "login = now().api.auth_string\n"
        "print(json.dumps({'login': login and login.get_secret_value(),\n"
        "                  'telemetry': now().server.analytics_enabled, **os.environ}))\n"
    )
    clean = {name: said for name, said in os.environ.items() if not name.startswith(OURS)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, **more},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("flow", sorted(path.stem for path in PIPELINES.glob("*.py")))
def test_a_flow_has_the_login_and_no_telemetry(flow):
    found = settings_of(flow, GENMINT_LOGIN="team:a long password", HTTP_PROXY="http://proxy:3128")
    assert found["login"] == "team:a long password"
    assert found["MLFLOW_TRACKING_USERNAME"] == "team"
    assert found["MLFLOW_TRACKING_PASSWORD"] == "a long password"
    assert found["telemetry"] is False
    assert found["DO_NOT_TRACK"] == "1"
    assert "127.0.0.1" in found["NO_PROXY"]


def test_who_switches_telemetry_on_has_it():
    found = settings_of("reconcile", PREFECT_SERVER_ANALYTICS_ENABLED="true")
    assert found["telemetry"] is True
    assert found["login"] is None
