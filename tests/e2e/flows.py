"""Flows that a test starts, and what they leave."""

import pytest
from prefect.client.schemas.sorting import ArtifactSort
from tests.e2e.conftest import clone_of_the_project
from tests.services.conftest import Running, wait_for

MODEL = "{family: vae, dataset: digits, hidden: [16], latent: 2, validate_every: 200, steps: 300}"


GATE = "{thresholds: {elbo: {min: -1000.0}}, champion: {superior: [elbo]}}"


PARAMS = f"""\
datasets:
  digits: {{path: data/sources/digits.yaml, kind: image, resolution: 8, labels: source,
           confirmation: 0.0,
           reference: {{min_accuracy: 0.2, epochs: 3}}, protocol: {{samples: 32, resamples: 2}}}}
  nothing: {{path: data/own/nothing, kind: image, resolution: 8}}
  dangling: {{path: data/own/dangling, kind: image, resolution: 8}}
  few: {{path: data/own/nested/few, kind: image, resolution: 8, mode: grey}}
models:
  one: {MODEL}
  two: {MODEL}
  three: {MODEL}
  orphan: {MODEL.replace("digits", "nothing")}
  of-dangling: {MODEL.replace("digits", "dangling")}
  of-few: {MODEL.replace("digits", "few")}
gates:
  one: {GATE}
  two: {GATE}
  three: {GATE}
  orphan: {GATE}
  of-dangling: {GATE}
  of-few: {GATE}
"""


# Two models of digits: `image-vae` passes its gate, and fails it if trained for one step.
DIGITS = """\
datasets:
  digits: {path: data/sources/digits.yaml, kind: image, resolution: 8, labels: source,
           confirmation: 0.0,
           reference: {min_accuracy: 0.2, epochs: 3}, protocol: {samples: 32, resamples: 2}}
models:
  image-vae: {family: vae, dataset: digits, hidden: [128], latent: 8, validate_every: 100,
              steps: 1500}
  image-vae-small: {family: vae, dataset: digits, hidden: [64], latent: 4, validate_every: 100,
                    steps: 600}
gates:
  image-vae: {thresholds: {elbo: {min: -35.0}}, champion: {superior: [elbo]}}
  image-vae-small: {thresholds: {elbo: {min: -1000.0}}, champion: {superior: [elbo]}}
"""


CHECKPOINTS = {"GENMINT_CHECKPOINT_SECONDS": "0.5", "OMP_NUM_THREADS": "1"}


def project(root, params=PARAMS):
    made = clone_of_the_project(root)
    (root / "params.yaml").write_text(params)
    made.commit("small models")
    return made


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return project(tmp_path_factory.mktemp("retrain") / "home")


@pytest.fixture(scope="module")
def running(home, tmp_path_factory):
    locks = tmp_path_factory.mktemp("locks")
    env = {"GENMINT_HOME": str(home.root), "GENMINT_LOCKS": str(locks), **CHECKPOINTS}
    started = Running(home.root, "--workers", "2", "--name", "here", **env)
    yield started
    started.clean()


def ask(running, deployment, queue=None, **parameters):
    with running.client as client:
        found = client.read_deployment_by_name(deployment)
        return client.create_flow_run_from_deployment(
            found.id, parameters=parameters, work_queue_name=queue
        ).id


def run_of(running, run):
    with running.client as client:
        return client.read_flow_run(run)


def ended(running, run, name, seconds):
    """Wait until a run has ended, and look how."""
    wait_for(lambda: run_of(running, run).state.is_final(), seconds, f"a run ends {name}")
    # A run that crashed is scheduled anew at once.
    wait_for(lambda: not run_of(running, run).state.is_crashed(), 120, "it goes on")
    wait_for(lambda: run_of(running, run).state.is_final(), seconds, f"a run ends {name}")
    state = run_of(running, run).state
    assert state.name == name, state.message


def page_of(running, run):
    with running.client as client:
        pages = client.read_artifacts(sort=ArtifactSort.CREATED_DESC)
    return next(each.data for each in pages if each.key == "retrain" and each.flow_run_id == run)
