"""Write what is installed by hash: requirements/run.txt and requirements/dev.txt.

Run by `make lock` in an environment with everything in it. Each package of constraints.txt is
listed with the SHA-256 of all its files for the Pythons that genmint runs on, as PyPI names them;
pip then takes no other file. Torch and CUDA's packages are left out: there are several builds of
each, and `make setup` installs them by version.
"""

import importlib.metadata
import json
import re
import sys
import urllib.request
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYTHONS = re.compile(r"-(cp31[123]|cp3\d*-abi3|py3|py2\.py3|cp3\d+-none)")
INDEX = "https://pypi.org/simple/{}/"
LEFT_OUT = {"torch"}
# `pip install -e . --no-build-isolation` needs it.
BUILD = ["setuptools"]


def needed(name, extras, installed):
    """All packages that one needs, with their extras, as far as they are installed here."""
    try:
        wanted = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for line in wanted:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key not in installed:
            installed.add(key)
            needed(requirement.name, requirement.extras, installed)


def closure(*extras):
    names = set()
    needed("genmint", extras, names)
    return {name for name, _ in names}


def hashes(name, version):
    """SHA-256 of the files of a version for the Pythons that genmint runs on."""
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    request = urllib.request.Request(INDEX.format(name), headers=accept)  # noqa: S310 - https
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        files = json.load(answer)["files"]
    marks = {f"-{version}{end}" for end in ("-", ".tar.gz", ".zip")}
    of_version = [file for file in files if any(mark in file["filename"] for mark in marks)]
    fitting = [
        file for file in of_version
        if not file["filename"].endswith(".whl") or PYTHONS.search(file["filename"])
    ]  # fmt: skip
    if not fitting:
        raise SystemExit(f"{name}=={version}: the index has no file of it")
    return sorted({file["hashes"]["sha256"] for file in fitting})


def main():
    pins = {}
    for line in Path("requirements/constraints.txt").read_text(encoding="utf-8").splitlines():
        name, separator, version = line.partition("==")
        if separator and canonicalize_name(name) not in LEFT_OUT:
            pins[canonicalize_name(name)] = version.partition(";")[0].strip()
    running = closure() | set(BUILD)
    # What no extra asks for either belongs to other systems than this one: it is in both lists.
    only_dev = closure("dev", "soak", "s3") - running
    lists = {"run": [name for name in pins if name not in only_dev], "dev": list(pins)}
    entries = {}
    for number, (name, version) in enumerate(pins.items(), 1):
        digests = hashes(name, version)
        lines = " \\\n".join(f"    --hash=sha256:{digest}" for digest in digests)
        entries[name] = f"{name}=={version} \\\n{lines}\n"
        print(f"{number} of {len(pins)}: {name}", file=sys.stderr)
    Path("requirements").mkdir(exist_ok=True)
    for kind, names in lists.items():
        head = "# Made by `make lock` from constraints.txt; installed with --require-hashes.\n"
        text = head + "".join(entries[name] for name in sorted(names))
        Path(f"requirements/{kind}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
