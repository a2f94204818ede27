"""A clone with core.autocrlf has the same files as one without, and DVC sees no difference."""

import json
import subprocess

import pytest
from tests.e2e.conftest import Checkout, clone_of_the_project

# Text that somebody keeps in git as it was delivered.
DELIVERED = {"unix.txt": b"one\ntwo\n", "windows.txt": b"one\r\ntwo\r\n", "both.txt": b"a\r\nb\n"}


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    made = clone_of_the_project(tmp_path_factory.mktemp("origin") / "genmint")
    for name, content in DELIVERED.items():
        path = made.root / "corpus" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    made.commit("texts")
    return made


def cloned(origin, target, *settings):
    options = [word for setting in settings for word in ("-c", setting)]
    command = ["git", "clone", "-q", *options, str(origin.root), str(target)]
    subprocess.run(command, check=True)
    return Checkout(target)


def files(checkout):
    names = checkout.run("git", "ls-files", "-z").stdout.split("\0")
    return {name: (checkout.root / name).read_bytes() for name in names if name}


@pytest.mark.parametrize(
    "settings", [("core.autocrlf=true",), ("core.autocrlf=input",), ("core.eol=crlf",)]
)
def test_every_file_is_the_same_to_the_byte(origin, tmp_path, settings):
    plain, other = cloned(origin, tmp_path / "plain"), cloned(origin, tmp_path / "other", *settings)
    assert files(other) == files(plain) == files(origin)
    assert {name: files(other)[f"corpus/{name}"] for name in DELIVERED} == DELIVERED
    assert other.run("git", "status", "--porcelain").stdout == ""


def test_dvc_says_the_same_of_both(origin, tmp_path):
    said = []
    for name, settings in (("plain", ()), ("other", ("core.autocrlf=true",))):
        checkout = cloned(origin, tmp_path / name, *settings)
        said.append(json.loads(checkout.run("dvc", "status", "--json").stdout))
    assert said[0] == said[1]


def test_what_an_editor_saved_with_crlf_is_committed_with_lf(origin, tmp_path):
    checkout = cloned(origin, tmp_path / "windows", "core.autocrlf=false")
    code = checkout.root / "src" / "genmint" / "common" / "project.py"
    before = code.read_bytes()
    code.write_bytes(before.replace(b"\n", b"\r\n") + b"# more\r\n")
    checkout.commit("saved by an editor")
    assert files(cloned(checkout, tmp_path / "clone"))["src/genmint/common/project.py"] == (
        before + b"# more\n"
    )
