"""A project with a prefect.yaml, and what Prefect's server has of it."""

import asyncio
import contextlib
import datetime
import os
import subprocess
import sys

import httpx
import pytest
import yaml
from prefect.cli.deploy import _config, _core
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import (
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    PREFECT_API_URL,
    temporary_settings,
)
from rich.console import Console
from tests.services.conftest import free_port, wait_for

from genmint.services import api, deployment_file
from genmint.services.deployment import deploy

FLOWS = '''\
from prefect import flow

@flow
def nap(seconds: float = 0.0, label: str = ""):
    """Sleep."""

@flow
def doze(seconds: float = 0.0, label: str = ""):
    pass
'''


YEARLY = "0 0 1 1 *"


PULL = [{"prefect.deployments.steps.set_working_directory": {"directory": "/"}}]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of the API of a Prefect server without workers."""
    home = tmp_path_factory.mktemp("prefect")
    port = free_port()
    env = {name: said for name, said in os.environ.items() if not name.startswith("PREFECT_")}
    env |= {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "genmint.services.die_with_parent",
             sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
            env=env, stdout=log, stderr=log,
        )  # fmt: skip

    def answers():
        assert process.poll() is None, (home / "log").read_text()
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{port}/api/health").is_success

    wait_for(answers, 180, "Prefect's server")
    yield f"http://127.0.0.1:{port}/api"
    process.terminate()
    process.wait()


class Told:
    """A server, a project of its own, and what a person does on both."""

    def __init__(self, client, root, name="mine"):
        self.client, self.root, self.name = client, root, name
        (root / "pipelines").mkdir(parents=True)
        (root / "pipelines" / "flows.py").write_text(FLOWS)
        self.file, self.formerly = [], []

    def write(self):
        text = {"name": self.name, "pull": PULL, "deployments": self.file}
        if self.formerly:
            text["formerly"] = self.formerly
        (self.root / "prefect.yaml").write_text(yaml.safe_dump(text))

    def read(self):
        """As `read_deployment_file`, but in this process, which has imported Prefect already."""
        self.write()
        file = self.root / "prefect.yaml"
        project, formerly = deployment_file._check(file, deployment_file.read_yaml(file))
        os.chdir(self.root)
        return deployment_file._declared(
            file, project, formerly, asyncio.run(deployment_file._read(file))
        )

    def deploy(self, **options):
        return deploy(self.client, self.read(), **options)

    def deploy_as_prefect_does(self):
        """What `prefect deploy --all` does, and what genmint did before it set marks."""
        self.write()
        os.chdir(self.root)
        console = Console(quiet=True)
        entries, actions = _config._load_deploy_configs_and_actions(
            self.root / "prefect.yaml", console=console
        )
        for entry in entries:
            asyncio.run(_core._run_single_deploy(
                entry, actions, console=console, is_interactive=lambda: False
            ))  # fmt: skip

    def there(self):
        """Full name to what the server has."""
        flows = {flow["id"]: flow["name"] for flow in api.every(self.client, "/flows/filter")}
        found = api.every(self.client, "/deployments/filter")
        return {f"{flows[each['flow_id']]}/{each['name']}": each for each in found}

    def waiting(self, id_):
        wanted = {"state": {"type": {"any_": ["SCHEDULED"]}}, "deployment_id": {"any_": [id_]}}
        return api.every(self.client, "/flow_runs/filter", flow_runs=wanted, sort="ID_DESC")

    def plan_runs(self, id_):
        until = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1000)).isoformat()
        body = {"min_runs": 2, "max_runs": 2, "end_time": until}
        api.send(self.client, "POST", f"/deployments/{id_}/schedule", body)
        return self.waiting(id_)


@pytest.fixture
def told(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Prefect makes a client for everything it asks, and each would load the machine's certificates.
    quick = {PREFECT_API_URL: server, PREFECT_API_TLS_INSECURE_SKIP_VERIFY: True}
    with temporary_settings(quick), SyncPrefectClient(server) as client:
        for pool in ("one", "two"):
            with contextlib.suppress(Exception):
                client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        made = Told(client, tmp_path / "home")
        yield made
        for found in made.there().values():
            api.delete(client, f"/deployments/{found['id']}")


def entry(name, *crons, flow="nap", **more):
    return {
        "name": name,
        "entrypoint": f"pipelines/flows.py:{flow}",
        "work_pool": {"name": "one"},
        "schedules": [{"cron": cron, "timezone": "UTC"} for cron in crons],
        **more,
    }


def crons(found):
    return sorted(each["schedule"]["cron"] for each in found["schedules"])
