import pytest

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.project import Project
from genmint.services.config import Services
from genmint.services.servers import orchestration_store, services_environment
from genmint.services.settings import remove_settings, settings_file, write_settings


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": -1}, "--workers -1"),
        ({"artifacts": "bucket"}, "ARTIFACTS=bucket"),
        ({"refusals": 0}, "--refusals 0"),
        ({"mlflow_port": 0}, "--mlflow-port 0"),
        ({"prefect_port": 65536}, "--prefect-port 65536"),
        ({"mlflow_port": 4200}, "must differ"),
        ({"name": "a b"}, "--name 'a b'"),
        ({"store": "mysql://h/d"}, "postgresql://"),
        ({"servers": False}, "PREFECT_API_URL"),
        ({"alerts": ("slak://secret",)}, "alert slak:…: neither"),
    ],
)
def test_what_cannot_be_is_refused_by_name(project, options, said):
    with pytest.raises(ConfigError, match=said) as refused:
        Services(project, **options)
    assert "secret" not in str(refused.value)


def test_workers_only_use_the_servers_that_are_named(project, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://far:4200/api")
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI"):
        Services(project, servers=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://far:5000")
    services = Services(project, servers=False)
    assert (services.prefect_api, services.tracker) == ("http://far:4200/api", "http://far:5000")
    for options in (
        {"store": "postgresql://h/d"},
        {"alerts": ("https://hook",)},
        {"artifacts": "s3://bucket"},
        {"workers": 0},
    ):
        with pytest.raises(ConfigError, match="--workers-only"):
            Services(project, servers=False, **options)


def test_only_this_machine_reaches_the_servers_unless_told_otherwise(project):
    assert Services(project).is_loopback
    with pytest.raises(ConfigError, match="--insecure"):
        Services(project, host="0.0.0.0")  # noqa: S104 - what is told apart here
    everywhere = Services(project, host="0.0.0.0", insecure=True)  # noqa: S104 - likewise
    assert not everywhere.is_loopback
    assert everywhere.prefect_api == "http://127.0.0.1:4200/api"
    assert Services(project, host="::1").tracker == "http://[::1]:5000"


@pytest.mark.parametrize("store", ["postgresql://host", "postgresql://host:port/name"])
def test_a_store_without_a_database_is_refused(project, store):
    with pytest.raises(ConfigError, match="STORE"):
        orchestration_store(Services(project, store=store), None)


def test_a_postgresql_that_does_not_answer_is_told_of_without_its_password(project):
    store = "postgresql://me:secret@127.0.0.1:1/team"
    with pytest.raises(GenmintError, match="team_prefect") as refused:
        orchestration_store(Services(project, store=store), None)
    assert "Start PostgreSQL" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_passwords_stay_with_the_servers(project, monkeypatch):
    monkeypatch.setenv("STORE", "postgresql://me:secret@h/d")
    monkeypatch.setenv("ALERTS", "slack://secret")
    monkeypatch.setenv("PREFECT_WORKER_QUERY_SECONDS", "0.7")
    env = services_environment(Services(project))
    assert "secret" not in str(env)
    # PostgreSQL that is started again makes Prefect's server answer 500 meanwhile.
    assert env["PREFECT_CLIENT_RETRY_EXTRA_CODES"] == "500"
    # What the user says goes, but not where the servers of this checkout are.
    assert env["PREFECT_WORKER_QUERY_SECONDS"] == "0.7"
    assert env["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"


def test_a_prefect_toml_of_the_users_is_left_alone(project):
    services = Services(project)
    path = settings_file(services)
    assert write_settings(services)
    assert write_settings(services)
    remove_settings(path)
    assert not path.exists()
    path.write_text("[api]\n")
    assert not write_settings(services)
    remove_settings(path)
    assert path.read_text() == "[api]\n"
