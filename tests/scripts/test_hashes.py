"""What is installed is installed by hash: the lists have all pins, and pip takes no other file."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from genmint.common.files import sha256_file

ROOT = Path(__file__).parents[2]
ENTRY = re.compile(
    r"^([A-Za-z0-9._-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins():
    lines = (ROOT / "requirements/constraints.txt").read_text().splitlines()
    found = dict(line.split("==") for line in lines if "==" in line)
    return {canonical(name): version for name, version in found.items()}


@pytest.mark.parametrize("kind", ["run", "dev"])
def test_every_line_is_a_pin_of_constraints_with_its_hashes(kind):
    text = (ROOT / "requirements" / f"{kind}.txt").read_text()
    found = {name: version for name, version, _ in ENTRY.findall(text)}
    assert len(found) == sum("==" in line for line in text.splitlines())
    known = pins()
    assert {name: known[name] for name in found} == found


def test_the_longer_list_has_all_pins_but_those_of_which_there_are_several_builds():
    text = (ROOT / "requirements/dev.txt").read_text()
    assert {name for name, _, _ in ENTRY.findall(text)} == set(pins()) - {"torch"}
    run = {name for name, _, _ in ENTRY.findall((ROOT / "requirements/run.txt").read_text())}
    assert {"mlflow", "prefect", "dvc", "flask-wtf", "setuptools"} <= run
    assert not {"pytest", "ruff", "hypothesis", "moto"} & run


def test_pip_takes_no_file_of_another_hash(tmp_path):
    wheel = tmp_path / "odd-1.0-py3-none-any.whl"
    files = {
        "odd.py": "",
        "odd-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n",
        "odd-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "odd-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    listed = tmp_path / "list.txt"
    makefile = (ROOT / "Makefile").read_text()
    assert "--no-deps --use-pep517 --require-hashes -r requirements/$(1).txt" in makefile
    for digest, status in ((sha256_file(wheel), 0), ("0" * 64, 1)):
        listed.write_text(f"odd==1.0 --hash=sha256:{digest}\n")
        command = [
            *(sys.executable, "-m", "pip", "install", "--no-index", "--find-links", str(tmp_path)),
            *(
                "--target",
                str(tmp_path / digest),
                "--no-deps",
                "--require-hashes",
                "-r",
                str(listed),
            ),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
    assert "DO NOT MATCH THE HASHES" in done.stderr
