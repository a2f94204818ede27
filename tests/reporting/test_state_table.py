"""Files, version, alias, gate and champion in every combination: what each command and page says.

docs/registry.md has the table. A version that its gate does not admit is nowhere called good, an
alias that was moved by hand is named everywhere, and `genmint reconcile` does what the texts say.
"""

import contextlib
import itertools
import json
import re
import shutil
import sqlite3
from dataclasses import dataclass

import mlflow
import pytest
from mlflow import MlflowClient
from tests.workshop import PARAMS

from genmint import tracking
from genmint.cli import run
from genmint.common.errors import GenmintError
from genmint.promotion.promote import promote
from genmint.promotion.reconcile import reconcile
from genmint.registry import pyfunc
from genmint.reporting.report import write_report

GATED = "  tiny:\n    thresholds"
FAILED, DRY = "it failed its gate", "its gate was in dry-run"
# Why the gate does not admit a version; 1, 2 and 4 passed. The journal names 2.
PROBLEMS = {
    "3": FAILED,
    "5": DRY,
    "6": f"{FAILED}, which was in dry-run",
    "7": "no model with its gate record is stored with it, so it was never gated",
    "8": "it was never gated",
    "9": "does not exist",
}
# None: the alias was removed.
ALIASES = (*"123456789", None)
JOURNALS = ("names 2", "is empty", "names 2 without record", "names 2, deleted")
OVERRIDES = ("no tag", "tag", "tag that counts")
# Seed of the files' weights: those of versions 2, 3 and 4, and others that are not registered.
SEEDS = {1: "2", 2: "3", 3: "4", 20: None}
RECORDS = ("not gated", "outdated", "passed", "failed")
FILES = ((None, ""), *itertools.product(SEEDS, RECORDS))


@dataclass
class Registered:
    """A workshop with versions of each kind, and what is true of its registry."""

    workshop: object
    journal: str
    params: str

    @property
    def client(self):
        return MlflowClient(tracking.uri(self.workshop.project))

    def policy(self, mode, *, overrides=False):
        policy = f"  tiny:\n    mode: {mode}\n    allow_overrides: {str(overrides).lower()}\n"
        text = self.params.replace(GATED, f"{policy}    thresholds")
        self.workshop.project.params.write_text(text)

    def point(self, number, override=""):
        """Move the alias as a person does; version 9 can be named in the database alone."""
        for tagged in "35678":
            with contextlib.suppress(mlflow.exceptions.MlflowException):
                self.client.delete_model_version_tag("tiny", tagged, "override")
        if number is None:
            self.client.delete_registered_model_alias("tiny", "champion")
            return
        if override and number in "35678":
            self.client.set_model_version_tag("tiny", number, "override", override)
        self.client.set_registered_model_alias("tiny", "champion", "1" if number == "9" else number)
        if number == "9":
            where = "name = 'tiny' AND alias = 'champion'"
            sql = f"UPDATE registered_model_aliases SET version = 9 WHERE {where}"  # noqa: S608
            database = sqlite3.connect(self.workshop.root / "mlflow.db")
            with contextlib.closing(database):
                database.execute("PRAGMA foreign_keys = OFF")
                database.execute(sql)
                database.commit()

    def files(self, seed, record):
        """Make the files of the project: weights of this seed, with such a gate record."""
        project = self.workshop.project
        shutil.rmtree(project.model("tiny"), ignore_errors=True)
        if seed is None:
            return
        elbo = -35.0 if record == "failed" else -15.0
        self.workshop.make(seed=seed, elbo=elbo, gate=record != "not gated")
        # The curves of the report take most of its time.
        (project.model("tiny") / "history.csv").unlink()
        if record == "not gated":
            project.gate_record("tiny").unlink(missing_ok=True)
        elif record == "outdated":
            self.workshop.make(seed=seed, elbo=-16.0, gate=False)
            (project.model("tiny") / "history.csv").unlink()

    def truth(self, number, override="no tag"):
        """Why the gate does not admit a version, None if it does; and whether an override does."""
        problem = PROBLEMS.get(number)
        if number == "2" and self.journal == "names 2 without record":
            problem = PROBLEMS["7"]
        if number == "2" and self.journal == "names 2, deleted":
            problem = PROBLEMS["9"]
        counts = override == "tag that counts" and number in ("3", "5", "6", "7")
        return problem, counts

    @property
    def named(self):
        """Version to which the alias belongs by the journal."""
        return "2" if self.journal in ("names 2", "names 2 without record") else None


@pytest.fixture(scope="module")
def every_version(restock, tmp_path_factory):
    """`stock`, and 5: passed in dry-run; 6: failed in dry-run; 7: without record; 8: foreign."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "DVC_EXP_BASELINE_REV", "DVC_ROOT"):
            patch.delenv(name, raising=False)
        patch.setattr(pyfunc, "_CODE", ("__init__.py",))
        workshop = restock(tmp_path_factory.mktemp("states") / "project")
        # Without `other`, which would double the time of report and status.
        params = re.sub(r"  other: .*\n", "", PARAMS)
        original = Registered(workshop, "names 2", params)
        verdicts = []
        for seed, elbo, mode in (
            (4, -10.0, "dry-run"),
            (5, -35.0, "dry-run"),
            (6, -18.0, "enforce"),
        ):
            original.policy(mode)
            workshop.make(seed=seed, elbo=elbo)
            verdicts += [
                each.verdict for each in promote(workshop.project, workshop.params, ["tiny"])
            ]
        assert verdicts == ["dry-run", "refused", "not better"]
        lose_record(original, "7")
        original.client.create_model_version("tiny", source="file:///nowhere")
    return original


def lose_record(registered, number):
    run_id = registered.client.get_model_version("tiny", number).run_id
    (record,) = (registered.workshop.root / "mlartifacts").rglob(f"{run_id}/**/gates/tiny.json")
    record.unlink()


@pytest.fixture
def registered(every_version, restock, no_tracker, tmp_path, monkeypatch):
    """Makes copies of all versions, with such a journal."""

    def make(journal="names 2"):
        workshop = restock(tmp_path / "project", every_version.workshop)
        copy = Registered(workshop, journal, every_version.params)
        copy.policy("enforce")
        if journal == "is empty":
            copy.client.delete_registered_model("tiny.journal")
        elif journal == "names 2 without record":
            lose_record(copy, "2")
        elif journal == "names 2, deleted":
            copy.client.delete_model_version("tiny", "2")
        copy.files(3, "passed")
        monkeypatch.chdir(workshop.root)
        return copy

    return make


def badges(workshop):
    """The badges of `tiny` in the overview of the report, and the sentence below."""
    page = write_report(workshop.project, workshop.params).read_text()
    part = page.split('class="name" href="#tiny"')[1].split("</li>")[0]
    return re.findall(r'<span class="badge (\w+)">([^<]+)</span>', part), part


def status_of(capsys):
    """Exit code, row of `tiny`, its problems and notes as text, and the model as JSON."""
    capsys.readouterr()
    code = run(["status"])
    text = capsys.readouterr().out
    assert run(["status", "--json"]) == code
    (found,) = [each for each in json.loads(capsys.readouterr().out)["models"]
                if each["name"] == "tiny"]  # fmt: skip
    (row,) = [line for line in text.splitlines() if re.match(r"│ tiny\s", line)]
    return code, row, "\n".join(re.findall(r"^tiny: .*", text, re.MULTILINE)), found


def sampled(capsys):
    capsys.readouterr()
    code = run(["sample", "tiny@champion", "-n", "1", "--out", "x.npy"])
    return code, capsys.readouterr().err


def check_alias(state, number, override, mode, capsys):
    """Compare what all say about the alias with what is true."""
    problem, counts = state.truth(number, override)
    hand = number != state.named
    code, row, text, found = status_of(capsys)
    assert (found["champion"], found["moved_by_hand"]) == (number or "–", hand)
    assert ("moved by hand" in row) == (hand and number is not None)
    if hand:
        journal = "none" if state.journal == "is empty" else "version 2"
        assert re.search(rf"was (moved|removed) by hand.*; the journal says {journal}\.", text)
        assert "genmint reconcile tiny" in text
    shown, part = badges(state.workshop)
    style, words = shown[-1]
    exit_code, error = sampled(capsys)
    assert ("by hand" in error) == (hand and number is not None and number not in "89")
    if number is None:
        empty = state.journal == "is empty"
        assert (style, code, exit_code) == ("plain" if empty else "no", 1, 1)
        return
    if problem is None:
        assert (style, words) == (
            ("warn", f"version {number}, moved by hand") if hand else ("champion", words)
        )
        assert found["champion_verdict"] == f"version {number} passed its gate"
        assert exit_code == 0
        assert (code, error == "") == ((1, False) if hand else (0, True))
        return
    assert style == "no"
    for each in (words, text, found["champion_verdict"], part, error):
        assert problem in each.replace("&#39;", "'")
    assert re.search("may not be champion|by override|does not exist", row)
    assert ("by override" in row) == ("by override" in words) == counts
    loaded = counts or "dry-run" in problem
    assert (code, exit_code) == (1 if hand or not counts else 0, 0 if loaded else 1)
    assert "passed" not in row.split("│")[-2]
    if counts:
        assert "It is used by override: for a reason" in error
    if mode == "dry-run":
        assert "moves no alias while gates.tiny.mode is dry-run" in text


# A policy, an alias and an override; `make soak` has all of them.
EVERY_ALIAS = tuple(("enforce", number, "no tag") for number in ALIASES)
SOME_ALIASES = tuple(("enforce", number, "no tag") for number in ("1", "2", "3", "9", None))
MORE_POLICIES = (
    *(("dry-run", number, "no tag") for number in ALIASES),
    *(("enforce", *each) for each in itertools.product("35678", OVERRIDES[1:])),
    *(("dry-run", "3", override) for override in OVERRIDES[1:]),
)
SOME_POLICIES = (
    *(("dry-run", number, "no tag") for number in ("1", "3")),
    *(("enforce", "3", override) for override in OVERRIDES[1:]),
)


@pytest.mark.parametrize(
    ("journal", "states"),
    [
        ("names 2", EVERY_ALIAS + SOME_POLICIES),
        *((journal, SOME_ALIASES) for journal in JOURNALS[1:]),
        pytest.param("names 2", MORE_POLICIES, marks=pytest.mark.soak),
        *(pytest.param(one, EVERY_ALIAS, marks=pytest.mark.soak) for one in JOURNALS[1:]),
    ],
)
def test_no_alias_makes_a_version_good(registered, capsys, journal, states):
    """Each version that the alias may point to, by each journal, policy and override."""
    state = registered(journal)
    for mode, number, override in states:
        if number == "2" and journal == "names 2, deleted":
            continue
        state.policy(mode, overrides=override == "tag that counts")
        state.workshop.gate("tiny")
        state.point(number, "" if override == "no tag" else "for a reason")
        try:
            check_alias(state, number, override, mode, capsys)
        except AssertionError as error:
            raise AssertionError(f"{mode}, alias {number}, {override}: {error}") from error


def check_files(state, seed, record, mode, capsys):
    """Compare what report and status say about the files with what is true."""
    _, row, text, found = status_of(capsys)
    if seed is None:
        assert (found["trained"], found["gate"], found["gate_mode"]) == ("no", "none", None)
        # The only model of this project.
        with pytest.raises(GenmintError, match="nothing is trained yet"):
            badges(state.workshop)
        return
    shown, _ = badges(state.workshop)
    number = SEEDS[seed] if (SEEDS[seed], state.journal) != ("2", "names 2, deleted") else None
    version = ("plain", f"version {number}") if number else ("warn", "not registered")
    dry = " (dry-run)" if mode == "dry-run" else ""
    gate = {
        "not gated": ("warn", "not gated"),
        "outdated": ("warn", "gate record outdated"),
        "passed": ("plain" if dry else "yes", f"passed its gate{dry}"),
        "failed": ("no", f"failed its gate{dry}"),
    }[record]
    assert shown[:2] == [version, gate]
    words = {"not gated": "no", "outdated": "outdated", "passed": "passed", "failed": "refused"}
    decided = record in ("passed", "failed")
    assert row.split("│")[3].strip() == words[record] + (dry if decided else "")
    assert found["gate"] == ("none" if record == "not gated" else record)
    assert found["gate_mode"] == (mode if decided else None)
    stored = None if number is None else "refused" if number == "3" else "passed"
    differs = decided and not dry and stored not in (None, words[record])
    assert ("but version" in text and "is registered as" in text) == differs
    good = [words for style, words in shown if style == "yes"]
    assert set(good) <= ({"passed its gate"} if record == "passed" and not dry else set())


@pytest.mark.parametrize("alias", ["2", "3"])
def test_no_files_are_called_good_that_are_not(registered, capsys, alias):
    state = registered()
    state.point(alias)
    for seed, record in FILES:
        state.files(seed, record)
        check_files(state, seed, record, "enforce", capsys)


@pytest.mark.soak
@pytest.mark.parametrize("journal", JOURNALS)
@pytest.mark.parametrize("mode", ["enforce", "dry-run"])
def test_the_whole_product(registered, capsys, journal, mode):
    """All files by all aliases, journals and modes of the gate."""
    state = registered(journal)
    state.policy(mode)
    for seed, record in FILES:
        state.files(seed, record)
        for number in ALIASES:
            if number == "2" and journal == "names 2, deleted":
                continue
            state.point(number)
            check_files(state, seed, record, mode, capsys)


PAGES = {
    "1": "**Gate: passed** (", "2": "**Gate: passed** (", "3": "**Gate: refused** (",
    "4": "**Gate: passed** (", "5": "**Gate: in dry-run, decides nothing** (",
    "6": "**Gate: failed in dry-run, decides nothing** (",
}  # fmt: skip


@pytest.mark.parametrize("number", PAGES)
def test_the_page_of_a_version_says_what_its_gate_decided(every_version, no_tracker, number):
    page = every_version.client.get_model_version("tiny", number).description
    assert page.startswith(PAGES[number])
    assert "**Alias:**" in page
    assert ("may be made champion" in page) == (number in "124")
    assert ("is reverted by the next reconcile" in page) == (number in "356")


@pytest.mark.parametrize(
    ("number", "line"), [(number, PROBLEMS.get(number)) for number in "1234567"]
)
def test_a_served_model_says_it_too(every_version, no_tracker, capsys, number, line):
    """It cannot know of aliases and overrides: it has its own stored files alone."""
    mlflow.set_tracking_uri(tracking.uri(every_version.workshop.project))
    try:
        if number in "37":
            line = "it has no gate record" if number == "7" else line
            with pytest.raises(Exception, match=f"tiny, weights .*: {line}.*ALLOW_REFUSED=1"):
                mlflow.pyfunc.load_model(f"models:/tiny/{number}")
            return
        mlflow.pyfunc.load_model(f"models:/tiny/{number}")
        error = [each for each in capsys.readouterr().err.splitlines() if each.startswith("tiny,")]
        assert [line in each for each in error] == ([True] if line else [])
    finally:
        mlflow.set_tracking_uri(None)


@pytest.mark.parametrize(
    ("number", "override"),
    [
        *((number, "no tag") for number in ALIASES if number not in ("2", "4")),
        *((number, "tag that counts") for number in "35678"),
        ("3", "tag"),
    ],
)
def test_reconcile_does_what_the_texts_say(registered, capsys, number, override):
    state = registered()
    state.policy("enforce", overrides=override == "tag that counts")
    state.point(number, "" if override == "no tag" else "for a reason")
    _, _, text, _ = status_of(capsys)
    (outcome,) = reconcile(state.workshop.project, state.workshop.params, ["tiny"])
    purpose = re.search(r"Run `genmint reconcile tiny`(?: to (.*))?\.", text)[1]
    expected = {"confirm the move": ("confirmed", "overridden"), "revert the move": ("reverted",)}
    assert outcome.verdict in expected.get(purpose, ("reverted",))
    problem, counts = state.truth(number, override)
    if number in (None, "9"):
        return
    page = state.client.get_model_version("tiny", number)
    kept = problem is None or counts
    assert outcome.champion == (number if kept else "2")
    assert ("genmint.reverted" in page.tags) == (not kept)
    assert page.description.startswith("> **Alias reverted.** `champion` was moved") == (not kept)
    noted = "> **Override.** Journal entry 3 made it champion against its gate: for a reason"
    assert page.description.startswith(noted) == counts
    code, row, text, found = status_of(capsys)
    assert (code, found["moved_by_hand"]) == (0, False)
    assert ("by override" in row) == (f"although {problem}: for a reason" in text) == counts
