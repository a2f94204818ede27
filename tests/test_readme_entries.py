"""Options and entries of params.yaml that README and docs show are those of the program."""

import re

import pytest
import yaml
from tests.test_documentation import CHINESE, PAGES, README, ROOT, commands

from genmint import cli
from genmint.config import load_params

_COMMAND = re.compile(r"(?:^|&& |; |`)genmint ([a-z]+)\b([^|;&#\n]*)")


def unknown_options(lines, help_of):
    """Options of `genmint VERB …` that the help of the verb lacks."""
    return [
        f"genmint {verb} {option}"
        for line in lines
        for verb, rest in _COMMAND.findall(line)
        for option in re.findall(r"(?<=\s)--[a-z][a-z-]*", rest)
        if not re.search(rf"(?<![\w-]){option}(?![\w-])", help_of(verb))
    ]


@pytest.fixture
def help_of(capsys):
    texts = {}

    def of(verb):
        if verb not in texts:
            assert cli.run([verb, "--help"]) == 0, verb
            texts[verb] = capsys.readouterr().out
        return texts[verb]

    return of


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_of_a_page_exists(page, help_of):
    assert unknown_options(commands(page), help_of) == []


def test_an_option_that_does_not_exist_is_noticed(help_of):
    lines = ["genmint new data/own/faces --minute 3", "dvc repro && genmint new . --minutes 3"]
    assert unknown_options(lines, help_of) == ["genmint new --minute"]


@pytest.mark.parametrize("page", [README, CHINESE], ids=lambda page: page.name)
def test_the_entries_of_the_readme_are_accepted(page, tmp_path):
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
        entries = yaml.safe_load(block)
        for key, entry in entries.items() if "models" in entries else [("datasets", entries)]:
            params[key] |= entry
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    loaded = load_params(tmp_path / "params.yaml")
    assert loaded.models["faces-vae"].dataset == "faces"
    assert loaded.datasets["faces"].resolution == 32
    assert loaded.gates["faces-vae"].thresholds
