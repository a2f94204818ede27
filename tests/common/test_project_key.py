"""The project's key: who may read it, what it signs, and what a wrong signature is called."""

import hashlib
import hmac
import json
import os
import subprocess
import sys

import pytest

from genmint.common.errors import ConfigError
from genmint.common.project_key import VARIABLE, SigningKey, create_key, key_file, load_key

KEY = SigningKey(bytes(range(32)), "a test")


def test_a_signature_is_an_hmac_over_kind_and_content():
    said = json.dumps(["entry", {"a": "1", "b": "2"}], sort_keys=True).encode()
    expected = hmac.new(bytes(range(32)), said, hashlib.sha256).hexdigest()
    assert KEY.sign("entry", {"b": "2", "a": "1"}) == f"{KEY.id}:{expected}"


def test_a_signature_holds_for_what_was_signed_alone():
    signature = KEY.sign("entry", {"a": "1"})
    assert KEY.problem("entry", {"a": "1"}, signature) is None
    for what, content in (("version", {"a": "1"}), ("entry", {"a": "2"}), ("entry", {})):
        assert KEY.problem(what, content, signature) == (
            "its signature is invalid: it was changed after it was signed"
        )
    assert KEY.problem("entry", {"a": "1"}, "") == "it is not signed"
    for damaged in ("x", ":", signature[:-1], signature.upper(), f"{KEY.id}:é"):
        assert "is invalid" in KEY.problem("entry", {"a": "1"}, damaged)


def test_another_key_is_said_by_name():
    other = SigningKey(b"x" * 32, "another test")
    problem = KEY.problem("entry", {}, other.sign("entry", {}))
    assert problem == f"it is signed with key {other.id}, and the key here is {KEY.id}"


def test_nothing_shows_the_secret():
    assert KEY.secret.hex() not in f"{KEY!r} {KEY.id} {KEY.sign('entry', {})}"
    assert repr(KEY.secret) not in repr(KEY)


def test_a_key_is_made_once_and_for_its_owner_alone(workshop):
    assert load_key(workshop.project) is None
    old = os.umask(0o002)
    try:
        made = create_key(workshop.project)
    finally:
        os.umask(old)
    path = key_file(workshop.project)
    assert path.stat().st_mode & 0o777 == 0o600
    assert create_key(workshop.project) == load_key(workshop.project) == made
    assert [each.name for each in path.parent.iterdir()] == ["signing.key"]


def test_processes_that_make_a_key_at_once_have_the_same_one(workshop):
    program = (
        "import sys; from pathlib import Path; from genmint.common.project import Project\n"
        "from genmint.common.project_key import create_key\n"
        "sys.stdin.read(1); print(create_key(Project(Path(sys.argv[1]))).secret.hex())"
    )
    command = [sys.executable, "-c", program, str(workshop.root)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for each in started:
        each.stdin.write("x")
        each.stdin.flush()
    assert len({each.communicate()[0] for each in started}) == 1


def test_the_variable_comes_before_the_file(workshop, monkeypatch):
    made = create_key(workshop.project)
    monkeypatch.setenv(VARIABLE, "0f" * 32)
    found = load_key(workshop.project)
    assert (found.secret, found.source) == (b"\x0f" * 32, f"the variable {VARIABLE}")
    assert found.id != made.id


@pytest.mark.parametrize("text", ["", "secret", "0f" * 31, "0g" * 32, "0f" * 33])
def test_what_is_no_key_is_refused(workshop, monkeypatch, text):
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ConfigError, match="64 hex digits"):
        load_key(workshop.project)
    monkeypatch.delenv(VARIABLE)
    path = key_file(workshop.project)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="64 hex digits"):
        load_key(workshop.project)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_may_read_is_refused(workshop, mode):
    create_key(workshop.project)
    key_file(workshop.project).chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_key(workshop.project)
