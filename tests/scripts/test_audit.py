"""What `make audit` finds, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "audit.py"

ADVISORY = {
    "id": "PYSEC-0000-1",
    "summary": "numpy does what it should not",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "NumPy"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
        }
    ],
}


def audit(folder, **env):
    command = [sys.executable, str(SCRIPT)]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def ranged(*events):
    (affected,) = ADVISORY["affected"]
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}]
    return {**ADVISORY, "affected": [{**affected, "ranges": ranges}]}


def test_every_package_that_is_installed_is_listed_and_its_licence_was_looked_at(tmp_path):
    done = audit(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "vulnerabilities: not looked for" in done.stdout
    listed = json.loads((tmp_path / "build/sbom.json").read_text())
    assert (listed["bomFormat"], listed["specVersion"]) == ("CycloneDX", "1.6")
    names = {each["name"] for each in listed["components"]}
    assert {"genmint", "torch", "mlflow", "prefect", "dvc", "great-expectations"} <= names
    assert all(each["purl"].startswith("pkg:pypi/") for each in listed["components"])


@pytest.mark.parametrize(
    ("advisory", "found"),
    [
        (ADVISORY, True),
        (ranged({"introduced": "0"}, {"fixed": "99999"}), True),
        (ranged({"introduced": "0"}, {"fixed": "1.0"}), False),
        (ranged({"introduced": "0"}, {"last_affected": "1.0"}), False),
        (ranged({"introduced": "99999"}), False),
        (ranged({"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "1.5"}), True),
        ({**ADVISORY, "withdrawn": "2026-01-01T00:00:00Z"}, None),
    ],
)
@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_a_known_vulnerability_fails(tmp_path, advisory, found, suffix):
    database = tmp_path / "advisories" / "numpy"
    database.mkdir(parents=True)
    # JSON is YAML as well.
    (database / f"PYSEC-0000-1{suffix}").write_text(json.dumps(advisory))
    done = audit(tmp_path, GENMINT_ADVISORIES=str(tmp_path / "advisories"))
    if found is None:
        assert "no advisory in the OSV format is there" in done.stderr
        assert done.returncode == 1
        return
    assert done.returncode == int(found), done.stdout + done.stderr
    assert ("PYSEC-0000-1: numpy does what it should not" in done.stdout) == found


def test_a_licence_that_nobody_looked_at_fails(tmp_path):
    folder = tmp_path / "site" / "odd-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n"
                                     "License: all rights reserved\n")  # fmt: skip
    done = audit(tmp_path, PYTHONPATH=str(folder.parent))
    assert done.returncode == 1
    assert "odd 1.0: licence: all rights reserved" in done.stdout
