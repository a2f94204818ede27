"""What is installed: vulnerabilities that are known of it, its licences, and a list (SBOM).

Run by `make audit`. Vulnerabilities come from a local copy of an advisory database in the OSV
format (https://ossf.github.io/osv-schema/), such as github.com/pypa/advisory-database, in the
folder that GENMINT_ADVISORIES names; without one that is said. The SBOM is CycloneDX 1.6, in
build/sbom.json. Exit code 1: a known vulnerability, or a licence that nobody looked at yet.
"""

import importlib.metadata
import json
import os
import re
import sys
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from ruamel.yaml import YAML

# Licences that may be used and passed on beside Apache-2.0 code; the names that packages give them.
ACCEPTED = re.compile(
    r"apache|\bbsd\b|bsd-|\bmit\b|mit-|\bisc\b|python software|psf|mpl|mozilla|unlicense|zlib|"
    r"hpnd|public domain|0bsd|cc0|lgpl|lesser general|boost|bsl|postgresql|zpl|zope",
    re.IGNORECASE,
)
# Looked at one by one: licences that are to be known of, and packages whose metadata name none.
LOOKED_AT = {
    "asyncssh": "EPL-2.0 or GPL: used by DVC as it is, not changed",
    "genmint": "Apache-2.0: this project",
    "grandalf": "EPL-1.0 or GPL-2.0: used by DVC as it is, not changed",
    "huey": "MIT, by its file; used by MLflow",
    "pygit2": "GPL-2.0 with an exception for linking; used by DVC",
    "skops": "MIT, by its file; used by MLflow",
    "text-unidecode": "Artistic or GPL; used by python-slugify, for Prefect",
}


def installed():
    """Distributions of this environment by their canonical names."""
    packages = {canonicalize_name(each.metadata["Name"]): each for each in
             importlib.metadata.distributions()}  # fmt: skip
    return dict(sorted(packages.items()))


def licence(distribution):
    """What a package says of its licence, "" if it says nothing."""
    metadata = distribution.metadata
    expression = metadata.get("License-Expression")
    if expression:
        return expression
    classified = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier") or ()
        if line.startswith("License :: ") and line != "License :: OSI Approved"
    ]
    # Some put the whole text there.
    return "; ".join(classified) or (metadata.get("License") or "").split("\n", 1)[0][:60]


def sbom(packages):
    """The packages as CycloneDX 1.6."""
    components = [
        {
            "type": "library",
            "name": name,
            "version": each.version,
            "purl": f"pkg:pypi/{name}@{each.version}",
            "licenses": [{"license": {"name": licence(each) or "unknown"}}],
        }
        for name, each in packages.items()
    ]
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}


def advisories(folder):
    """All advisories below a folder, in the OSV format as JSON or YAML."""
    yaml = YAML(typ="safe", pure=True)
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".json", ".yaml", ".yml"):
            text = path.read_text(encoding="utf-8")
            record = json.loads(text) if path.suffix == ".json" else yaml.load(text)
            if isinstance(record, dict) and "affected" in record and not record.get("withdrawn"):
                yield record


def affects(advisory, name, version):
    """Whether a version of a package is affected."""
    for affected in advisory["affected"]:
        package = affected.get("package") or {}
        if package.get("ecosystem") != "PyPI" or canonicalize_name(package["name"]) != name:
            continue
        if str(version) in (affected.get("versions") or ()):
            return True
        for span in affected.get("ranges") or ():
            if span.get("type") == "ECOSYSTEM" and _within(span["events"], version):
                return True
    return False


def _within(events, version):
    """Whether a version lies in a range: events in their order, each of them turns it on or off."""
    inside = False
    for event in events:
        for kind, value in event.items():
            if kind == "introduced" and (value == "0" or version >= Version(value)):
                inside = True
            elif (kind == "fixed" and version >= Version(value)) or (
                kind == "last_affected" and version > Version(value)
            ):
                inside = False
    return inside


def vulnerable(packages, folder):
    """Lines that name each known vulnerability of what is installed."""
    known, matches = 0, []
    for advisory in advisories(folder):
        known += 1
        for name, each in packages.items():
            try:
                hit = affects(advisory, name, Version(each.version))
            except InvalidVersion:
                continue
            if hit:
                summary = advisory.get("summary") or (advisory.get("details") or "").split("\n")[0]
                matches.append(f"{name} {each.version}: {advisory['id']}: {summary[:120]}")
    if not known:
        raise SystemExit(f"GENMINT_ADVISORIES={folder}: no advisory in the OSV format is there")
    print(f"{known} advisories: {len(matches)} concern what is installed")
    return matches


def main():
    packages = installed()
    target = Path("build/sbom.json")
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(sbom(packages), indent=2) + "\n", encoding="utf-8")
    print(f"{len(packages)} packages: {target}")
    unknown = [
        f"{name} {each.version}: licence: {licence(each) or 'its metadata name none'}"
        for name, each in packages.items()
        if name not in LOOKED_AT and not ACCEPTED.search(licence(each))
    ]
    folder = os.environ.get("GENMINT_ADVISORIES")
    if folder:
        unknown += vulnerable(packages, Path(folder))
    else:
        print("vulnerabilities: not looked for; GENMINT_ADVISORIES names a copy of an OSV database")
    for line in unknown:
        print(line)
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
