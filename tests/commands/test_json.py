"""Every verb that reports has --json, and its stdout is then one JSON document."""

import json

import pytest

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
    from genmint.training import speed

    def timed(*_):
        print("a table")
        return [{"precision": "fp32", "rate": 2.0}]

    class Params:
        models = ("one",)

    monkeypatch.setattr(speed, "bench", timed)
    monkeypatch.setattr(verb, "open_project", lambda: (None, Params()))
    verb.bench("one", 1.0, as_json=True)
    shown = capsys.readouterr()
    assert json.loads(shown.out) == [{"precision": "fp32", "rate": 2.0}]
    assert shown.err == "a table\n"


def test_the_signatures_as_json(workshop, monkeypatch, capsys):
    monkeypatch.chdir(workshop.root)
    monkeypatch.setattr(keys_verb, "open_project", lambda: (workshop.project, workshop.params))
    workshop.make()
    capsys.readouterr()
    assert keys_verb.keys(as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {"key": None, "source": None, "models": []}
