"""PostgreSQL of our own: root's special case, and what a killed server leaves behind."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from sqlalchemy import create_engine, text

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.project import Project
from genmint.services import database
from genmint.services.config import Services
from genmint.services.processes import kill_marked


@pytest.fixture
def services(tmp_path):
    made = Services(Project(tmp_path))
    made.state.mkdir(parents=True)
    yield made
    kill_marked(made.mark)


def ask(url, question):
    engine = create_engine(url)
    with engine.begin() as connection:
        answer = connection.execute(text(question))
        rows = answer.fetchall() if answer.returns_rows else []
    engine.dispose()
    return rows


def test_it_comes_back_with_its_data_after_a_kill(services):
    child, url = database.embedded(services)
    child.start()
    database.wait_until_open(child, url, lambda: None)
    # What Prefect's migrations need.
    ask(url, "CREATE EXTENSION pg_trgm")
    ask(url, "CREATE TABLE kept AS SELECT 1 AS x")
    assert not psutil.Process(child.pid).net_connections("tcp")
    os.kill(child.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while child.died() is None:
        assert time.monotonic() < deadline
    # Its note now names a living process that is none of PostgreSQL's.
    note = services.state / "postgresql" / "postmaster.pid"
    lines = note.read_text().splitlines()
    note.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    while not child.restart_when_due():
        time.sleep(0.05)
    database.wait_until_open(child, url, lambda: None)
    assert ask(url, "SELECT x FROM kept") == [(1,)]
    child.ask_to_end()
    child.end(20)
    assert not note.exists()


def test_the_note_of_a_living_server_is_left_alone(services):
    child, url = database.embedded(services)
    child.start()
    database.wait_until_open(child, url, lambda: None)
    database._forget_the_dead(services.state / "postgresql")
    assert (services.state / "postgresql" / "postmaster.pid").exists()


def test_a_server_that_does_not_start_is_told_of_with_its_log(services):
    child, url = database.embedded(services)
    (services.state / "postgresql" / "postgresql.conf").write_text("no_such_setting = 1\n")
    child.start()
    with pytest.raises(GenmintError, match=r"postgresql\.log"):
        database.wait_until_open(child, url, lambda: None)


def test_what_root_may_not_share_is_refused_with_the_remedy(tmp_path):
    closed = tmp_path / "closed" / "bin"
    closed.mkdir(parents=True)
    closed.parent.chmod(0o700)
    with pytest.raises(ConfigError, match=r"chmod o\+x .*closed"):
        database._check_way(closed, "nobody")


def test_missing_binaries_are_refused_with_the_remedy(services, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="STORE=sqlite"):
        database.embedded(services)


def test_a_long_path_gets_a_short_socket(tmp_path):
    root = tmp_path / ("x" * 60) / ("y" * 60)
    services = Services(Project(root))
    services.state.mkdir(parents=True)
    child, url = database.embedded(services)
    try:
        child.start()
        database.wait_until_open(child, url, lambda: None)
        assert ask(url, "SELECT 1") == [(1,)]
        assert len(url.query["host"]) < 90
    finally:
        child.ask_to_end()
        child.end(20)


def test_a_killed_supervisor_takes_it_along(services):
    code = """
import sys, time
from pathlib import Path
from genmint.common.project import Project
from genmint.services import database
from genmint.services.config import Services
child, url = database.embedded(Services(Project(Path(sys.argv[1]))))
child.start()
database.wait_until_open(child, url, lambda: None)
print(child.pid, flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", code, str(services.project.root)]
    supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    server = psutil.Process(int(supervisor.stdout.readline()))
    supervisor.kill()
    supervisor.wait()
    assert psutil.wait_procs([server], timeout=10)[0] == [server]
