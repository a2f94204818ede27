"""What benchmarks and mutation tests need besides never enters the project's environment."""

import importlib.util
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from genmint.diagnostics.environment import shadowing

ROOT = Path(__file__).parents[2]


def wheel(folder, name, version, files=(), needs=()):
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {each}" for each in needs]
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for file in files:
            archive.writestr(file, "")
        archive.writestr(f"{info}/METADATA", "\n".join(metadata) + "\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The Makefile in a folder with an environment of its own, and packages to install from."""
    root = tmp_path_factory.mktemp("it's a checkout")
    (root / "scripts").mkdir()
    (root / "requirements").mkdir()
    for name in (
        "Makefile",
        "pyproject.toml",
        "requirements/constraints.txt",
        "scripts/overlay.py",
    ):
        (root / name).write_bytes((ROOT / name).read_bytes())
    for kind in ("run", "dev"):
        (root / "requirements" / f"{kind}.txt").touch()
    venv.create(root / ".venv", symlinks=True)
    for file in ("of_the_project.py", "editable.pth"):
        (packages(root, ".venv") / file).write_text("import os\n")
    for file in (".installed", ".installed-dev"):
        (root / ".venv" / file).touch()
    pip = Path(importlib.util.find_spec("pip").origin).parent
    (packages(root, ".venv") / "pip").symlink_to(pip)
    wheels = root / "wheels"
    wheels.mkdir()
    wheel(wheels, "pythae", "0.1.2", ["pythae.py"], ["dataclasses>=0.6"])
    wheel(wheels, "dataclasses", "0.6", ["dataclasses.py"])
    wheel(wheels, "mutmut", "3.8.1", ["mutmut.py"])
    return root


def packages(root, environment):
    (found,) = (root / environment / "lib").glob("python*/site-packages")
    return found


def make(root, *arguments):
    env = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "wheels", "PYTHON": sys.executable}
    # What a `make test` around this one has set: its own options, and that it is not the outermost.
    for name in ("PIP_EXTRA_INDEX_URL", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        env.pop(name, None)
    done = subprocess.run(["make", *arguments], cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_peers_get_an_environment_of_their_own_that_sees_the_project(checkout):
    before = sorted(path.name for path in packages(checkout, ".venv").iterdir())
    make(checkout, ".venv-bench/.installed")
    assert sorted(path.name for path in packages(checkout, ".venv").iterdir()) == before
    (named,) = shadowing([packages(checkout, ".venv-bench")])
    assert named[0] == "dataclasses"
    python = str(checkout / ".venv-bench/bin/python")
    subprocess.run([python, "-c", "import pythae, of_the_project"], check=True)
    assert make(checkout, "-n", ".venv-bench/.installed").startswith("make: ")
    # A new environment of the project is a new one for its peers.
    (checkout / ".venv/.installed-dev").touch()
    assert "overlay.py bench" in make(checkout, "-n", ".venv-bench/.installed")


@pytest.mark.parametrize("target", ["soak", "mutate", "bench"])
def test_no_target_installs_anything_more_into_the_projects_environment(checkout, target):
    printed = make(checkout, "-n", target)
    assert "pip" not in printed.replace("pipelines", "")
    runs = [line for line in printed.splitlines() if " -m pytest" in line or "run" in line]
    environment = {"soak": ".venv/", "mutate": ".venv-mutation/", "bench": ".venv-bench/"}[target]
    assert all(line.startswith(environment) for line in runs)
    assert runs


def test_what_soak_needs_is_pinned_and_installed_by_hash():
    text = (ROOT / "requirements/dev.txt").read_text()
    assert all(f"\n{name}==" in text for name in ("moto", "boto3", "dvc-s3"))


def test_git_ignores_these_environments_and_make_clean_removes_them(checkout):
    made = [".venv-bench/", ".venv-mutation/", ".venv-lock/"]
    ignored = ["git", "check-ignore", *made]
    found = subprocess.run(ignored, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == made
    for name in made:
        (checkout / name).mkdir(exist_ok=True)
    assert all(name[:-1] in make(checkout, "-n", "clean") for name in made)
