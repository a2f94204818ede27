"""What README and docs tell people to type exists."""

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "data" / "README.md"])


def commands(page):
    """Lines of code blocks and pieces of inline code."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:sh|bash|console)?\n(.*?)```", text, flags=re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [line.strip() for block in blocks for line in block.splitlines()] + inline


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_and_verb_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    shown = subprocess.run(
        [sys.executable, "-m", "genmint", "--help"], capture_output=True, text=True, check=True
    ).stdout
    verbs = set(re.findall(r"^    (\w+)", shown, flags=re.MULTILINE))
    assert "promote" in verbs
    for command in commands(page):
        for target in re.findall(r"\bmake ([a-z][a-z-]*)\b", command):
            assert target in targets, command
        for verb in re.findall(r"(?:^|&& |; )genmint ([a-z]+)\b", command):
            assert verb in verbs, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_into_the_project_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_dependency_has_a_pin():
    """constraints.txt pins all that pip would install for genmint.

    CUDA's packages follow from torch; setuptools comes with the interpreter, and which one fits
    depends on its version.
    """
    pins = set()
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if "==" in line:
            pins.add(re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower())
    wanted, seen = ["genmint"], set()
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in seen or name.startswith(("nvidia-", "cuda-", "triton", "setuptools")):
            continue
        seen.add(name)
        assert name == "genmint" or name in pins, f"{name} has no pin: run `make lock`"
        for requirement in metadata.requires(name) or []:
            found = Requirement(requirement)
            if found.marker is not None and not found.marker.evaluate({"extra": ""}):
                continue
            try:
                metadata.distribution(found.name)
            except metadata.PackageNotFoundError:
                continue
            wanted.append(found.name)


def test_the_environment_is_the_one_that_was_tested_together():
    report = json.loads(
        subprocess.run(
            [sys.executable, "-m", "pip", "list", "--format", "json"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    installed = {
        re.sub(r"[-_.]+", "-", item["name"]).lower(): item["version"].partition("+")[0]
        for item in report
    }
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, separator, version = line.partition("==")
        name = re.sub(r"[-_.]+", "-", name).lower()
        if separator and name in installed:
            assert installed[name] == version, name
