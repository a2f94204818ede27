"""What tests of servers behind others share."""

import pytest
from tests.tracking.conftest import Server
from tests.tracking.front import Authority, Front, empty_store_of_a_server

VARIABLES = (
    *("MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH"),
    *("MLFLOW_TRACKING_INSECURE_TLS", "MLFLOW_TRACKING_TOKEN", "REQUESTS_CA_BUNDLE"),
    *("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
    *("no_proxy", "NO_PROXY"),
)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in VARIABLES:
        # Set first, so that what the code under test sets goes again.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="session")
def files_server(tmp_path_factory, empty_store):
    """A server that takes and gives the files itself, as any that is elsewhere."""
    folder = tmp_path_factory.mktemp("files-server")
    started = Server(empty_store_of_a_server(empty_store, folder))
    yield started
    started.kill()


@pytest.fixture
def fronts(files_server, monkeypatch):
    """Puts something before the server that all tests share; it is the tracker of this test."""
    made = []

    def put(**how):
        front = Front(files_server.address, **how)
        made.append(front)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", front.address)
        return front

    yield put
    for front in made:
        front.close()


def reasonable(line):
    """No advice leads to another registry, which knows none of the champions."""
    assert "unset" not in line.lower()
    assert "embedded" not in line
