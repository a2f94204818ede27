"""Every verb that reports has --json, and its stdout is then one JSON document."""

import json
import re
from pathlib import Path

import pytest

import genmint
from genmint.cli import run
from genmint.commands import keys as keys_verb

REPORTING = (
    *("promote", "status", "gate", "lineage", "journal", "reconcile", "keys", "drift", "doctor"),
    *("config", "bench", "spread", "deploy"),
)


@pytest.mark.parametrize("verb", REPORTING)
def test_a_verb_that_reports_has_the_option(verb, capsys):
    assert run([verb, "--help"]) == 0
    assert "--json" in capsys.readouterr().out


def test_what_is_printed_on_the_way_goes_to_stderr(monkeypatch, capsys):
    """As of a benchmark: its table is for people, the document for programs."""
    from genmint.commands import bench as verb
    from genmint.training import bench

    def timed(*_, **options):
        print("a table")
        return [{"precision": "fp32", "rate": 2.0}]

    class Params:
        models = ("one",)

    monkeypatch.setattr(bench, "bench", timed)
    monkeypatch.setattr(verb, "open_project", lambda: (None, Params()))
    verb.bench("one", 1.0, as_json=True)
    shown = capsys.readouterr()
    assert json.loads(shown.out) == [{"precision": "fp32", "rate": 2.0}]
    assert shown.err == "a table\n"


def test_no_verb_prints_json_in_a_form_of_its_own():
    """Indented, with letters as they are: `print_json` alone decides that."""
    source = Path(genmint.__file__).parent
    own = re.compile(r"print\(\s*(?:json\.dumps|[\w.]*to_json)\(")
    printing = [path.name for path in source.rglob("*.py") if own.search(path.read_text())]
    assert printing == ["console.py"]


@pytest.mark.parametrize("verb", ["promote", "reconcile"])
def test_outcomes_are_indented_and_keep_their_letters(workshop, monkeypatch, capsys, verb):
    monkeypatch.chdir(workshop.root)
    workshop.make()
    assert run([verb, "tiny"]) == 0
    capsys.readouterr()
    assert run([verb, "--json", "tiny"]) == 0
    shown = capsys.readouterr().out
    document = json.loads(shown)
    assert shown == json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    assert document[0]["name"] == "tiny"


def test_the_signatures_as_json(workshop, monkeypatch, capsys):
    monkeypatch.chdir(workshop.root)
    monkeypatch.setattr(keys_verb, "open_project", lambda: (workshop.project, workshop.params))
    workshop.make()
    capsys.readouterr()
    assert keys_verb.keys(as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {"key": None, "source": None, "models": []}
