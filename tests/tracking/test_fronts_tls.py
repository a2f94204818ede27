"""Certificates, tokens, addresses and proxies between genmint and its server."""

import http.server
import os
import threading
import urllib.request

import httpx
import pytest
import requests
from tests.tracking.front import Authority, Forward, Front
from tests.tracking.fronted import authority, files_server, fronts, plain_environment, reasonable  # noqa: F401 - fixtures

from genmint import tracking
from genmint.common.errors import (
    ConfigError,
    DataError,
    RegistryError,
    RegistryRefusedError,
    RegistryUnreachableError,
    SourceUnreachableError,
)
from genmint.common.loopback import bypass_proxies
from genmint.data.ingestion.fetch import RemoteFile, fetch
from genmint.diagnostics import doctor


@pytest.fixture
def forward(monkeypatch):
    """The proxy of this environment, for every address and scheme."""
    proxy = Forward()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.address)
    yield proxy
    proxy.close()


def test_an_authority_of_ones_own(workshop, fronts, authority, monkeypatch):
    fronts(prefix="/team/mlflow", authority=authority)
    with pytest.raises(RegistryRefusedError, match="MLFLOW_TRACKING_SERVER_CERT_PATH") as caught:
        tracking.connect(workshop.project)
    assert "certificate" in str(caught.value)
    reasonable(str(caught.value))
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(authority.certificate))
    assert tracking.check_tracker(workshop.project).endswith("answers")
    monkeypatch.delenv("MLFLOW_TRACKING_SERVER_CERT_PATH")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.certificate))
    assert tracking.check_tracker(workshop.project).endswith("answers")


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_an_unverified_server(workshop, fronts, authority, monkeypatch):
    fronts(authority=authority)
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    assert tracking.check_tracker(workshop.project).endswith("answers")
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(authority.certificate))
    with pytest.raises(ConfigError, match="are both set"):
        tracking.connect(workshop.project)


def test_a_client_certificate(workshop, fronts, authority, tmp_path, monkeypatch):
    fronts(authority=authority, clients=True)
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(authority.certificate))
    for said in (None, str(Authority(tmp_path / "stranger").issue("somebody"))):
        if said is not None:
            monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", said)
        with pytest.raises(RegistryError, match="set MLFLOW_TRACKING_CLIENT_CERT_PATH to"):
            tracking.connect(workshop.project)
    monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", str(authority.issue("client")))
    assert tracking.check_tracker(workshop.project).endswith("answers")


@pytest.mark.parametrize("which", ["SERVER", "CLIENT"])
def test_a_certificate_that_is_not_there(workshop, fronts, authority, monkeypatch, which):
    fronts(authority=authority)
    name = f"MLFLOW_TRACKING_{which}_CERT_PATH"
    monkeypatch.setenv(name, "/nowhere/ca.pem")
    with pytest.raises(ConfigError, match=f"{name}=/nowhere/ca.pem: no such file"):
        tracking.connect(workshop.project)


def test_a_scheme_that_is_not_the_servers(workshop, fronts, monkeypatch):
    front = fronts()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", front.address.replace("http:", "https:"))
    with pytest.raises(RegistryRefusedError, match="does not use TLS"):
        tracking.connect(workshop.project)


def test_every_request_carries_the_token(workshop, fronts, monkeypatch):
    front = fronts()
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a-token")
    tracking.connect(workshop.project)
    assert ("GET", "/health", "Bearer a-token") in front.asked
    assert {login for _, _, login in front.asked} == {"Bearer a-token"}


def test_a_server_that_has_another_address_says_which(workshop, fronts, authority, monkeypatch):
    there = fronts(authority=authority)

    class Redirect(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(301)
            self.send_header("Location", f"{there.address}{self.path}")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirect) as here:
        threading.Thread(target=here.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{here.server_port}")
        with pytest.raises(RegistryRefusedError, match=f"its clients to {there.address}. Set"):
            tracking.connect(workshop.project)
        here.shutdown()


def test_named_sets_say_that_a_certificate_is_not_trusted(fronts, authority, tmp_path):
    front = fronts(authority=authority)
    remote = RemoteFile(name="x", urls=(f"{front.address}/x",), mirror="x", sha256="0" * 64)
    with pytest.raises(DataError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        fetch(remote, tmp_path)
    assert not isinstance(caught.value, SourceUnreachableError)


@pytest.mark.parametrize("said", [None, "intern.example", "localhost,127.0.0.1"])
def test_no_proxy_leads_to_this_machine(workshop, fronts, forward, monkeypatch, said):
    """With a proxy in the environment, whatever the user excepted from it."""
    if said is not None:
        monkeypatch.setenv("NO_PROXY", said)
    front = fronts()
    assert tracking.check_tracker(workshop.project).endswith("answers")
    assert front.asked
    assert forward.asked == []
    assert (said or "").split(",")[0] in os.environ["NO_PROXY"]


def test_a_tracker_elsewhere_is_reached_by_the_proxy(workshop, forward, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker.invalid:5000")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryUnreachableError, match="a proxy before it, cannot answer now"):
        tracking.connect(workshop.project)
    assert forward.asked[0] == "GET http://tracker.invalid:5000/health"
    monkeypatch.setenv("no_proxy", "tracker.invalid")
    forward.asked.clear()
    with pytest.raises(RegistryUnreachableError, match="does not answer"):
        tracking.connect(workshop.project)
    assert forward.asked == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"HTTP_PROXY": ""}, None),
        ({"HTTP_PROXY": "http://p:1"}, "localhost,127.0.0.1,::1"),
        ({"all_proxy": "http://p:1", "NO_PROXY": "a, .b.c"}, "a,.b.c,localhost,127.0.0.1,::1"),
        ({"http_proxy": "p:1", "no_proxy": "x", "NO_PROXY": "y"}, "x,localhost,127.0.0.1,::1"),
        (
            {"http_proxy": "http://p:1", "PREFECT_API_URL": "http://127.0.3.4:4200/api"},
            "localhost,127.0.0.1,::1,127.0.3.4",
        ),
        (
            {"http_proxy": "http://p:1", "MLFLOW_TRACKING_URI": "http://head.example:5000"},
            "localhost,127.0.0.1,::1",
        ),
    ],
)  # fmt: skip
def test_what_no_proxy_becomes(environment, expected):
    wanted = dict(environment)
    if expected is not None:
        wanted |= {"no_proxy": expected, "NO_PROXY": expected}
    for _ in range(2):
        bypass_proxies(environment)
        assert environment == wanted


def test_a_user_who_excepts_everything_excepts_everything():
    environment = {"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}
    bypass_proxies(environment)
    assert environment == {"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "127.0.3.4"])
def test_the_clients_of_mlflow_and_prefect_take_it(host, forward, monkeypatch):
    address = f"http://{host}:4200/api"
    monkeypatch.setenv("PREFECT_API_URL", address)
    assert requests.utils.get_environ_proxies(address)
    bypass_proxies(os.environ)
    assert requests.utils.get_environ_proxies(address) == {}
    with httpx.Client() as client:
        direct = client._transport_for_url(httpx.URL(address))
        assert direct is client._transport
    if ":" not in host:
        # What the client for Prefect's events asks.
        assert urllib.request.proxy_bypass(f"{host}:4200")


class _Version(http.server.BaseHTTPRequestHandler):
    """Answers as Prefect's server does when it is asked for its version."""

    def do_GET(self):
        body = b'"3.8.8"'
        self.send_response(200 if self.path == "/api/admin/version" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def test_doctor_asks_prefect_as_its_own_client_does(workshop, authority, forward, monkeypatch):
    from prefect.settings import PREFECT_API_SSL_CERT_FILE, temporary_settings

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Version) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        front = Front(f"http://127.0.0.1:{server.server_port}", authority=authority)
        monkeypatch.setenv("PREFECT_API_URL", f"{front.address}/api")
        bypass_proxies(os.environ)
        mark, text = doctor.check(workshop.project, "prefect")
        assert (mark, "Set PREFECT_API_SSL_CERT_FILE" in text) == ("failed", True), text
        with temporary_settings({PREFECT_API_SSL_CERT_FILE: str(authority.certificate)}):
            assert doctor.check(workshop.project, "prefect")[0] == "ok"
        assert forward.asked == []
        front.close()
        server.shutdown()


@pytest.mark.parametrize("name", ["SERVER", "CLIENT"])
def test_an_empty_variable_is_none(workshop, fronts, authority, monkeypatch, name):
    """MLflow takes an empty authority for a request not to verify the server at all."""
    front = fronts(authority=authority)
    variable = f"MLFLOW_TRACKING_{name}_CERT_PATH"
    monkeypatch.setenv(variable, "")
    with pytest.raises(RegistryRefusedError, match="MLFLOW_TRACKING_SERVER_CERT_PATH"):
        tracking.connect(workshop.project)
    assert front.address in os.environ["MLFLOW_TRACKING_URI"]
    assert variable not in os.environ
