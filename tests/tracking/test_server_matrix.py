"""Each verb and flow with servers of every kind: it ends well, or in one line that is true."""

import os
import signal
import subprocess
import sys
import threading

import pytest
import requests
from tests.e2e.conftest import clone_of_the_project
from tests.tracking.conftest import free_port, until
from tests.tracking.front import Authority, Forward, Front
from tests.workshop import spread_of

from genmint.common.files import read_json, write_json
from genmint.common.project import Project
from genmint.config import load_params
from genmint.decision.comparison import block_hash
from genmint.tracking.ui import server_arguments, server_environment

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

LOGIN = "team:a password of the matrix"
MODEL = "{family: vae, dataset: digits, hidden: [128], latent: 2, validate_every: 20, steps: STEPS}"
PARAMS = f"""\
datasets:
  digits: {{path: data/sources/digits.yaml, kind: image, resolution: 8, labels: source,
           confirmation: 0.0,
           reference: {{min_accuracy: 0.2, epochs: 3}}, protocol: {{samples: 32, resamples: 2}}}}
models:
  one: {MODEL}
gates:
  one: {{thresholds: {{elbo: {{min: -1000.0}}}}, champion: {{superior: [elbo]}}}}
drift:
  digits: {{window: 20}}
"""
# Fewer bytes than the weights have (70,000); more than most questions have.
LIMIT = 40_000
# Longer than a question may take.
SLOW_SECONDS = 25.0


class Server:
    """MLflow's server as genmint starts it, on a folder that outlives it."""

    def __init__(self, folder, login=None):
        self.folder, self.login = folder, login
        folder.mkdir()
        self.start()

    def start(self):
        self.address = f"http://127.0.0.1:{free_port()}"
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("GENMINT_LOGIN", raising=False)
            if self.login is not None:
                patch.setenv("GENMINT_LOGIN", self.login)
            backend = f"sqlite:///{self.folder}/mlflow.db"
            env = server_environment(os.environ, backend, self.folder / "users")
            port = int(self.address.rpartition(":")[2])
            artifacts = (self.folder / "artifacts").as_uri()
            command = [sys.executable, *server_arguments(artifacts, "127.0.0.1", port)]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                command, env=env, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        until(self.answers, 300)

    def answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            return requests.get(f"{self.address}/health", timeout=5).status_code < 500
        except requests.RequestException:
            return False

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Place:
    """A checkout, and the server that its registry is on."""

    def __init__(self, checkout, front, env, auth=None):
        self.checkout, self.front, self.env, self.auth = checkout, front, env, auth
        self.root = checkout.root

    def run(self, *command, ok=True, **env):
        done = self.checkout.run(*command, ok=False, **{**self.env, **env})
        said = done.stdout + done.stderr
        assert "Traceback" not in said or command[0] != "genmint", said
        # No way out leads to a registry that does not know the champions.
        assert "unset MLFLOW_TRACKING_URI" not in said, said
        assert "to use the embedded store" not in said, said
        assert not ok or done.returncode == 0, f"{command}: {done.returncode}\n{said}"
        return done

    def genmint(self, *words, **how):
        return self.run("genmint", *words, **how)

    def fails(self, *words, line, **env):
        """A verb of genmint ends with 1 and says why in its last line."""
        done = self.genmint(*words, ok=False, **env)
        assert done.returncode == 1, done.stdout + done.stderr
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith(f"genmint {words[0]}: {self.front.address}: "), last
        assert line in last, last
        return last

    def flow(self, name, call, ok=True):
        code = f"import sys; sys.path.insert(0, 'pipelines'); from {name} import {name}; "
        return self.run(sys.executable, "-c", f"{code}print({name}({call}))", ok=ok)

    def train(self, steps):
        """Commit another model and have it made and measured."""
        self.write(steps)
        return self.run("dvc", "repro", "-q")

    def write(self, steps):
        (self.root / "params.yaml").write_text(PARAMS.replace("STEPS", str(steps)))
        if (self.root / "metrics/one.protocol.json").exists():
            self.spread()
        self.checkout.commit(f"{steps} steps")

    def spread(self):
        """A spread so small that a change of seed decides nothing here."""
        project = Project(self.root)
        block = block_hash(load_params(project.params).models["one"])
        protocol = read_json(project.protocol("one"))["protocol"]
        write_json(project.spread("one"), spread_of("one", block, protocol))

    def champion(self):
        """Version of the champion by the registry, asked past everything; None if there is none."""
        found = requests.get(
            f"{self.front.target}/api/2.0/mlflow/registered-models/alias",
            params={"name": "one", "alias": "champion"},
            auth=self.auth,
            timeout=60,
        )
        return found.json()["model_version"]["version"] if found.ok else None


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A checkout whose data are prepared, and whose models are not made yet."""
    root = tmp_path_factory.mktemp("matrix") / "prepared"
    made = clone_of_the_project(root)
    (root / "dvc.lock").unlink(missing_ok=True)
    (root / "params.yaml").write_text(PARAMS.replace("STEPS", "40"))
    made.commit("a small model")
    made.run("dvc", "repro", "-q", "reference@digits")
    return made


@pytest.fixture
def place(prepared, tmp_path):
    """Puts a copy of the checkout, a server and what stands before it together."""
    opened = []

    def put(login=None, env=None, **how):
        server = Server(tmp_path / "server", login)
        front = Front(server.address, **how)
        opened.append((front, server))
        settings = {
            "MLFLOW_TRACKING_URI": front.address,
            # Flows take the project of the installed genmint, which is the one under test.
            "GENMINT_HOME": str(tmp_path / "project"),
            "OMP_NUM_THREADS": "1",
            "PREFECT_HOME": str(tmp_path / "prefect"),
            **(env or {}),
        }
        auth = None if login is None else tuple(login.split(":"))
        made = Place(prepared.copy(tmp_path / "project"), front, settings, auth)
        made.server = server
        return made

    yield put
    for front, server in opened:
        front.close()
        if server.process.poll() is None:
            server.kill()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


def look(place):
    """All verbs that read the registry, and those that write only what is missing there."""
    for words in (
        *(("status",), ("journal", "one"), ("lineage", "one"), ("gate", "one"), ("report",)),
        *(("keys",), ("doctor",), ("reconcile",), ("drift",), ("promote",)),
        ("sample", "one@champion", "-n", "2", "--out", "x.png"),
        ("encode", "one@champion", "--out", "x.parquet"),
        ("explore", "one@champion", "--out", "x.html"),
    ):
        place.genmint(*words)
    refused = place.genmint("ui", ok=False)
    assert (refused.returncode, place.front.address in refused.stderr) == (2, True)
    assert not (place.root / "mlflow.db").exists()


def everything(place):
    """Every verb and every flow ends well."""
    place.train(40)
    place.genmint("promote")
    assert place.champion() == "1"
    look(place)
    place.write(400)
    night = place.flow("retrain", "models=['one'], train_on='here'")
    assert place.champion() == "2", night.stdout + night.stderr
    place.genmint("rollback", "one", "--reason", "to see whether it works")
    assert place.champion() == "1"
    place.flow("reconcile", "")
    place.flow("drift", "retrain=False")
    place.genmint("status")


def test_a_plain_server(place):
    everything(place())


def test_a_path_and_a_certificate_of_ones_own(place, authority):
    here = place(
        prefix="/team/mlflow",
        authority=authority,
        env={"MLFLOW_TRACKING_SERVER_CERT_PATH": str(authority.certificate)},
    )
    everything(here)
    here.fails("journal", "one", line="MLFLOW_TRACKING_SERVER_CERT_PATH",
               MLFLOW_TRACKING_SERVER_CERT_PATH="")  # fmt: skip
    assert here.champion() == "1"


def test_a_client_certificate_and_a_proxy_that_leads_nowhere(place, authority):
    forward = Forward()
    here = place(
        authority=authority,
        clients=True,
        env={
            "MLFLOW_TRACKING_SERVER_CERT_PATH": str(authority.certificate),
            "MLFLOW_TRACKING_CLIENT_CERT_PATH": str(authority.issue("client")),
            "HTTP_PROXY": forward.address,
            "HTTPS_PROXY": forward.address,
            "NO_PROXY": "",
        },
    )
    everything(here)
    assert forward.asked == []
    forward.close()
    here.fails("journal", "one", line="MLFLOW_TRACKING_CLIENT_CERT_PATH",
               MLFLOW_TRACKING_CLIENT_CERT_PATH="")  # fmt: skip


def test_a_login(place):
    here = place(login=LOGIN, env={"GENMINT_LOGIN": LOGIN})
    everything(here)
    for words in (("lineage", "one"), ("journal", "one"), ("reconcile",)):
        here.fails(*words, line="does not accept this user", GENMINT_LOGIN=f"{LOGIN} not")
    night = here.flow("reconcile", "")
    assert night.returncode == 0
    assert here.champion() == "1"


@pytest.mark.parametrize("manner", ["drain", "abrupt", "silent"])
def test_a_proxy_that_limits_bodies(place, manner):
    here = place()
    here.front.limit, here.front.manner = LIMIT, manner
    here.train(40)
    line = "does not take" if manner != "silent" else "the connection broke while"
    said = here.fails("promote", line=line)
    assert " bytes " in said
    assert here.champion() is None
    for words in (("status",), ("journal", "one"), ("lineage", "one"), ("report",), ("keys",)):
        here.genmint(*words, ok=False)
    night = here.flow("retrain", "models=['one'], train_on='here'", ok=False)
    assert night.returncode != 0
    assert "Raise its limit for the size" in night.stdout + night.stderr
    assert here.champion() is None
    # What was refused leaves nothing that stands in the way.
    here.front.limit = None
    here.genmint("promote")
    look(here)
    assert here.champion() == "1"


def test_a_slow_store(place):
    """Each verb meets two uploads that take longer than a question may."""
    here = place()
    here.front.upload_seconds, here.front.slow_uploads = SLOW_SECONDS, 2
    trained = here.train(40)
    assert "was not sent" not in trained.stdout + trained.stderr
    here.front.slow_uploads = 2
    here.genmint("promote")
    look(here)
    here.write(400)
    here.front.slow_uploads = 2
    night = here.flow("retrain", "models=['one'], train_on='here'")
    assert here.champion() == "2", night.stdout + night.stderr


@pytest.mark.parametrize("after", [3, 12, 30])
def test_a_server_that_is_restarted_in_the_middle(place, after):
    """It is killed after so many requests of a verb, and started again."""
    here = place()
    here.train(40)
    for words in (("promote",), ("status",), ("lineage", "one"), ("reconcile",)):
        restart = threading.Thread(target=restarted, args=(here, len(here.front.asked) + after))
        restart.start()
        done = here.genmint(*words, ok=False)
        here.front.asked += [None] * after
        restart.join()
        assert done.returncode in (0, 1)
        if done.returncode == 1 and words != ("status",):
            last = done.stderr.strip().splitlines()[-1]
            assert "answer" in last, last
        here.genmint(*words)
        assert here.champion() == "1"
    here.write(400)
    restart = threading.Thread(target=restarted, args=(here, len(here.front.asked) + after))
    restart.start()
    night = here.flow("retrain", "models=['one'], train_on='here'")
    here.front.asked += [None] * after
    restart.join()
    assert here.champion() == "2", night.stdout + night.stderr


def restarted(place, when):
    until(lambda: len(place.front.asked) >= when, 600)
    place.server.kill()
    place.server.start()
    place.front.target = place.server.address
