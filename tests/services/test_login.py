"""GENMINT_LOGIN: without it nothing of either server is open, and with it everything works."""

import json
import re
import subprocess
import sys

import httpx
import pytest
from tests.e2e.browser import CHROMIUM
from tests.services.hostile import NOTHING, attack, created

from genmint.common.errors import ConfigError
from genmint.common.login import VARIABLE, hand_on, read_login, refuse_open
from genmint.common.loopback import is_loopback

LOGIN = "founder:correct horse battery"
# What probes and a page that asks for the login need; none tells of data.
OPEN_OF_MLFLOW = ("/health", "/static", "/favicon.ico", "server-info")


@pytest.fixture(scope="module")
def guarded(start, listener):
    hook = f"http://127.0.0.1:{listener.port}/guarded"
    return start("guarded", "--name", "here", GENMINT_LOGIN=LOGIN, ALERTS=hook)


@pytest.fixture
def client_env(guarded):
    uri = f"http://127.0.0.1:{guarded.mlflow_port}"
    api = f"http://127.0.0.1:{guarded.prefect_port}/api"
    return {**guarded.clean_env(), "MLFLOW_TRACKING_URI": uri, "PREFECT_API_URL": api}


def genmint(guarded, env, *words):
    command = [sys.executable, "-m", "genmint", *words]
    return subprocess.run(command, cwd=guarded.root, env=env, capture_output=True, text=True)


@pytest.mark.parametrize(
    "said",
    ["", "someone", "someone:", ":long enough password", "someone:short", "a b:long pass word"],
)
def test_what_is_no_login_is_refused_without_showing_it(monkeypatch, said):
    monkeypatch.setenv(VARIABLE, said)
    with pytest.raises(ConfigError, match=VARIABLE) as refused:
        read_login()
    assert not said or said not in str(refused.value)


def test_one_setting_is_handed_to_the_clients_of_both_servers(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    environment = {}
    hand_on(environment)
    assert environment == {}
    monkeypatch.setenv(VARIABLE, "me:with:colons in it")
    hand_on(environment)
    assert environment == {
        "MLFLOW_TRACKING_USERNAME": "me",
        "MLFLOW_TRACKING_PASSWORD": "with:colons in it",
        "PREFECT_API_AUTH_STRING": "me:with:colons in it",
    }
    # Another user's password is not guessed.
    environment = {"MLFLOW_TRACKING_USERNAME": "other", "PREFECT_API_AUTH_STRING": "mine"}
    hand_on(environment)
    assert environment == {"MLFLOW_TRACKING_USERNAME": "other", "PREFECT_API_AUTH_STRING": "mine"}


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "10.0.0.1", "head.example.org", "127.0.0.1.evil"],  # noqa: S104
)
def test_other_machines_are_let_in_with_a_login_or_where_somebody_says_so(monkeypatch, host):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(ConfigError, match="--insecure"):
        refuse_open(host, insecure=False)
    refuse_open(host, insecure=True)
    monkeypatch.setenv(VARIABLE, LOGIN)
    refuse_open(host, insecure=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "localhost", "::1"])
def test_loopback_needs_no_login(monkeypatch, host):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert is_loopback(host)
    refuse_open(host, insecure=False)


@pytest.mark.parametrize("verb", ["ui", "services"])
def test_both_commands_refuse_an_open_address(guarded, verb):
    done = genmint(guarded, guarded.clean_env(), verb, "--host", "0.0.0.0")  # noqa: S104
    assert done.returncode == 2
    assert "--insecure" in done.stderr
    assert "Traceback" not in done.stderr


def endpoints_of_prefect(guarded):
    api = f"http://127.0.0.1:{guarded.prefect_port}/api"
    schema = httpx.get(f"{api}/openapi.json", auth=tuple(LOGIN.split(":"))).json()
    for path, methods in schema["paths"].items():
        for method in methods:
            yield method, api + re.sub(r"\{[^}]*\}", "x", path.removeprefix("/api"))


def endpoints_of_mlflow(guarded):
    from mlflow.server import app
    from mlflow.server.fastapi_app import create_fastapi_app

    found = {(method, str(rule)) for rule in app.url_map.iter_rules() for method in rule.methods}
    for route in create_fastapi_app(app).routes:
        found |= {(method, route.path) for method in getattr(route, "methods", None) or ()}
    for method, path in found:
        if method not in ("OPTIONS", "HEAD") and not any(one in path for one in OPEN_OF_MLFLOW):
            filled = re.sub(r"<[^>]*>|\{[^}]*\}", "x", path)
            yield method, f"http://127.0.0.1:{guarded.mlflow_port}{filled}"


@pytest.mark.parametrize("server", ["prefect", "mlflow"])
def test_every_endpoint_is_closed_to_those_without_the_login(guarded, server):
    endpoints = {"prefect": endpoints_of_prefect, "mlflow": endpoints_of_mlflow}[server]
    asked, opened = 0, []
    wrong = ("founder", "wrong")
    # Prefect looks for a token before it looks for the login.
    me = "11111111-1111-1111-1111-111111111111"
    api = f"http://127.0.0.1:{guarded.prefect_port}/api"
    assert httpx.get(f"{api}/csrf-token?client={me}").status_code == 401
    token = httpx.get(f"{api}/csrf-token?client={me}", auth=tuple(LOGIN.split(":"))).json()["token"]
    headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": me}
    with httpx.Client(timeout=30, headers=headers) as client:
        for number, (method, url) in enumerate(endpoints(guarded)):
            # A server takes its time to refuse a password, and asks for it in one place.
            for auth in (None, wrong) if number % 8 == 0 else (None,):
                answer = client.request(method.upper(), url, auth=auth)
                asked += 1
                # Those that say nothing but that the server is there.
                told = answer.text if answer.status_code == 200 else None
                if answer.status_code != 401 and told not in ("true", '{"message":"OK"}'):
                    opened.append((method, url, answer.status_code, answer.text[:100]))
    assert opened == []
    assert asked > 200


def test_the_login_opens_both(guarded, client_env):
    auth = tuple(LOGIN.split(":"))
    api = client_env["PREFECT_API_URL"]
    assert httpx.get(f"{api}/admin/version", auth=auth).status_code == 200
    ask = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    assert httpx.get(client_env["MLFLOW_TRACKING_URI"] + ask, auth=auth).status_code == 200


def test_workers_and_flows_have_it(guarded):
    run = guarded.ask("nap/gpu", seconds=[0])
    guarded.wait_until(run, "Completed", 90)


def test_people_are_notified_of_failures(guarded, listener):
    run = guarded.ask("retrain/failing", fail=True, seconds=[0])
    guarded.wait_until(run, "Failed", 90)
    listener.wait_for("/guarded", "a flow failed", str(run))


def test_commands_have_it(guarded, client_env):
    refused = genmint(guarded, client_env, "journal", "image-vae")
    assert refused.returncode == 1
    assert "MLFLOW_TRACKING_USERNAME" in refused.stderr
    assert VARIABLE in refused.stderr
    done = genmint(guarded, {**client_env, VARIABLE: LOGIN}, "journal", "image-vae")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no entries" in done.stdout


def test_no_file_no_log_and_no_command_line_has_the_password(guarded):
    password = LOGIN.partition(":")[2]
    for path in guarded.root.rglob("*"):
        if path.is_file():
            assert password.encode() not in path.read_bytes(), path
    for process in guarded.processes():
        assert password not in " ".join(process.cmdline())
    # Servers that others reach know no more than they must.
    for process in guarded.processes():
        words = " ".join(process.cmdline())
        if "mlflow.server" in words or "mlflow server" in words:
            told = process.environ()
            assert VARIABLE not in told
            assert "GENMINT_SIGNING_KEY" not in told


def test_the_password_of_an_earlier_start_holds_no_more(tmp_path, monkeypatch):
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    from genmint.tracking.basic_auth import protect

    for user, password in (
        ("other", "the first password"),
        ("founder", "the first password"),
        ("founder", "the second password"),
    ):
        monkeypatch.setenv(VARIABLE, f"{user}:{password}")
        env = protect(tmp_path)
    store = SqlAlchemyStore()
    store.init_db(f"sqlite:///{tmp_path / 'users.db'}")
    assert not store.authenticate_user("founder", "the first password")
    assert store.authenticate_user("founder", "the second password")
    assert [user.username for user in store.list_users()] == ["founder"]
    assert "second" not in json.dumps(env)
    assert (tmp_path / "users.db").stat().st_mode & 0o077 == 0


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_hostile_page_does_nothing_though_its_reader_is_logged_in(
    guarded, client_env, tmp_path, monkeypatch
):
    with guarded.client as client:
        wanted = client.read_deployment_by_name("nap/gpu").id
        before = len(client.read_flow_runs())
    assert attack(guarded, tmp_path, wanted, LOGIN) == (NOTHING, False)
    with guarded.client as client:
        assert len(client.read_flow_runs()) == before
    user, _, password = LOGIN.partition(":")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    assert not created(client_env["MLFLOW_TRACKING_URI"])
