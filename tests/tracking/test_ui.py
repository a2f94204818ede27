import json
import signal

import pytest
import requests
from tests.tracking.ui_process import served_ui

from genmint import tracking
from genmint.common.errors import ConfigError
from genmint.common.project import Project
from genmint.tracking.store import database
from genmint.tracking.ui import runs_page, serve_ui

PAGE = "#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=genmint"


def test_the_password_of_a_tracker_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:canary@far.example:5000")
    with pytest.raises(ConfigError) as caught:
        serve_ui(Project(tmp_path), "127.0.0.1", 0)
    assert "https://ann:***@far.example:5000" in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("port", [0, 99999, -1])
def test_a_port_is_a_port(tmp_path, port):
    with pytest.raises(ConfigError, match=rf"^--port {port}: a port is a number from 1 to 65535$"):
        serve_ui(Project(tmp_path), "127.0.0.1", port)


def test_the_link_is_that_of_the_runs(workshop):
    store = database(workshop.project)
    assert runs_page(store) == PAGE
    tracking.connect(workshop.project).delete_experiment("1")
    assert runs_page(store) == "#/experiments?workflowType=machine_learning"


def test_a_view_is_saved_with_the_runs_and_may_be_changed(workshop):
    store, client = database(workshop.project), tracking.connect(workshop.project)
    runs_page(store)
    view = json.loads(client.get_experiment("1").tags["mlflow.sharedViewState.genmint"])
    state = json.loads(view["state"])
    assert (view["name"], state["compareRunCharts"][0]["selectedMetricKeys"]) == (
        "genmint",
        ["train_loss", "validation_loss"],
    )
    assert "tags.`genmint.verdict`" in state["selectedColumns"]
    client.set_experiment_tag("1", "mlflow.sharedViewState.genmint", "mine")
    runs_page(store)
    assert client.get_experiment("1").tags["mlflow.sharedViewState.genmint"] == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_the_ui_answers_at_its_link_and_leaves_nothing(workshop, ending):
    """In less than 1 GB; a killed `genmint ui` takes its server with it as well."""
    with served_ui(workshop.root, ending) as ui:
        assert ui.link == f"{ui.address}/{PAGE}"
        assert requests.get(ui.link, timeout=10).ok
        # Itself, the group's leader, MLflow's command and one web worker; no job workers.
        assert len(ui.processes) == 4
        assert sum(process.memory_info().rss for process in ui.processes) < 1e9
