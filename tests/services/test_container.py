"""Services and a worker as process 1 of containers of their own: they train, and end clean."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from tests import container
from tests.e2e.conftest import clone_of_the_project
from tests.services.conftest import Running, wait_for
from tests.services.recipes import commands

PARAMS = """\
datasets:
  digits: {path: data/sources/digits.yaml, kind: image, resolution: 8, labels: source, test: 0.15,
           confirmation: 0.0, reference: {min_accuracy: 0.2, epochs: 3}, protocol: {samples: 64}}
models:
  tiny-vae: {family: vae, dataset: digits, hidden: [16], latent: 2, steps: 60}
gates:
  tiny-vae: {thresholds: {elbo: {min: -1000.0}}, champion: {superior: [elbo]}}
"""


class Container(Running):
    """`genmint services` as process 1."""

    @property
    def before(self):
        return container.command()

    def stop(self, number=signal.SIGTERM):
        """As `docker stop` does it."""
        os.kill(container.process_one(self.process), number)
        return self.process.wait(120)


def worker(services, log):
    """A worker as process 1 of another container, for the pool gpu."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**services.clean_env(), **services.addresses, "PATH": path, "OMP_NUM_THREADS": "1",
           "GENMINT_HOME": str(services.root)}  # fmt: skip
    with log.open("wb") as stream:
        return subprocess.Popen(
            [*container.command(), "prefect", "worker", "start", "--type", "process",
             "--install-policy", "never", "--pool", "gpu", "--name", "box:gpu", "--limit", "1"],
            cwd=services.root, env=env, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_process_one_trains_and_ends_clean(tmp_path, request):
    project = clone_of_the_project(tmp_path / "home")
    (project.root / "params.yaml").write_text(PARAMS)
    project.commit("one small model")
    services = Container(project.root, "--workers", "0", "--name", "head", OMP_NUM_THREADS="1")
    request.addfinalizer(services.clean)
    starter = worker(services, tmp_path / "worker.log")
    request.addfinalizer(starter.kill)
    # `genmint` is a child of process 1, which waits for what is left to it.
    one = psutil.Process(container.process_one(services.process))
    assert len(one.children()) == 1
    # As docs/services.md has people ask for it, in the project's folder.
    (typed,) = [line for line in commands("services.md") if line.startswith("prefect deployment")]
    typed = typed.replace("image-vae", "tiny-vae")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["bash", "-c", typed], cwd=project.root, check=True,
                   env={**services.clean_env(), "PATH": path})  # fmt: skip
    with services.client as client:
        (run,) = [each.id for each in client.read_flow_runs()]
    services.wait_until(run, "Completed", 1200)
    with services.client as client:
        message = client.read_flow_run(run).state.message
        runs = client.read_flow_runs()
        (sub_run,) = [each for each in runs if each.name == "train tiny-vae"]
    assert "Crashed" not in services.states(run) + services.states(sub_run.id)
    assert sub_run.labels["prefect.worker.name"] == "box:gpu"
    print(message)
    zombies = [each for each in one.children(recursive=True)
               if each.status() == psutil.STATUS_ZOMBIE and each.ppid() == one.pid]  # fmt: skip
    assert zombies == []

    os.kill(container.process_one(starter), signal.SIGTERM)
    wait_for(lambda: starter.poll() is not None, 120, "the worker's container ends")
    assert services.stop() == 130
    assert services.processes() == []
    assert not (services.state / "state.json").exists()
    assert not (project.root / "prefect.toml").exists()
    assert list((project.root / ".genmint" / "checkouts").iterdir()) == []
