"""Whatever people and API clients do in MLflow, no command of ours leaves a failed champion.

A state machine interleaves our commands with everything that can be done to registry and tracker.
After each command of ours, the champion's files are read past genmint: their weights passed the
gate that was recorded for them last, or there is no champion and the reason is said.
"""

import contextlib
import io
import json

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis.stateful import rule, run_state_machine_as_test
from tests.registry.by_hand import Aliases, Entries, Names, Store, Versions
from tests.registry.machine import GATE, GATES, MODELS, SEED, STORED, TO, Kit

from genmint.common.errors import GenmintError
from genmint.common.files import sha256_file
from genmint.promotion.promote import promote
from genmint.promotion.reconcile import reconcile
from genmint.promotion.rollback import rollback
from genmint.registry import entries, journal, pyfunc
from genmint.registry.signature import folder_of
from genmint.reporting.status import status


def again(name):
    return lambda self, **drawn: getattr(self, name)(**drawn)


class Machine(Aliases, Names, Versions, Entries, Store):
    """All that people do, and what genmint does."""

    @rule(seed=SEED, gate=GATE)
    def train_and_promote(self, seed, gate):
        self.promote(seed, gate)

    def promote(self, seed, gate):
        self.kit.lay_out(seed, gate)
        passes = MODELS[seed] > GATES[gate]
        outcome = self.ours(f"promote {seed}, {gate}", lambda w: promote(*w, ["tiny"])[0])
        weights = self.kit.weights[seed]
        if isinstance(outcome, GenmintError) or outcome.verdict == "not promoted":
            # It may have stored its record before it failed.
            self.truth[weights] = self.truth[weights] | {passes}
            return
        self.truth[weights] = {passes}
        assert (outcome.verdict == "refused") == (not passes), outcome
        assert outcome.reason
        self.check()

    @rule(gate=GATE)
    def gate_again(self, gate):
        """The gate decides once more, by another bound perhaps, on the weights that are champion.

        They are read from the files, as long as these are there.
        """
        aliases = journal.aliases(self.client, "tiny")
        champion = [
            each for each in self.versions() if str(each.version) == aliases.get("champion")
        ]
        with contextlib.suppress(FileNotFoundError):
            for version in champion:
                digest = sha256_file(self.files(version) / STORED)
                for seed in [s for s, w in self.kit.weights.items() if w == digest]:
                    self.promote(seed, gate)

    @rule(to=TO)
    def rollback(self, to):
        number = None if to is None else str(to)
        done = self.ours(f"rollback {to}", lambda w: rollback(*w, "tiny", "test", number))
        if not isinstance(done, GenmintError):
            self.check()

    @rule()
    def reconcile(self):
        outcome = self.ours("reconcile", lambda w: reconcile(*w, ["tiny"])[0])
        assert not isinstance(outcome, GenmintError), outcome
        # Nobody can tell an attack from another machine's key: nothing but an unfit champion moves.
        unknown = "no entry of its journal is valid" in outcome.reason
        assert outcome.exit_code == int(unknown), outcome
        champion = self.check()
        if unknown:
            return
        assert outcome.champion == champion
        if champion is None:
            assert outcome.reason

    @rule()
    def status(self):
        before = journal.aliases(self.client, "tiny")
        code = self.ours("status", lambda w: status(*w))
        assert journal.aliases(self.client, "tiny") == before
        if code == 0:
            champion = self.check()
            if champion is None and any(e.valid for e in entries.entries(self.client, "tiny")):
                assert "tiny: there is no champion: " in self.said, self.said

    # A machine draws its rules evenly, and people can do more than genmint: ours are there again.
    promote_2 = rule(seed=SEED, gate=GATE)(again("promote"))
    gate_again_2 = rule(gate=GATE)(again("gate_again"))
    reconcile_2 = rule()(again("reconcile"))

    def ours(self, what, command):
        self.kit.steps += 1
        self.kit.ours += 1
        out = io.StringIO()
        workshop = self.kit.workshop
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                found = command((workshop.project, workshop.params))
        except GenmintError as error:
            found = error
        self.said = out.getvalue()
        note(f"{what}: {found}\n{self.said}")
        return found

    def check(self):
        """The champion's own files bear out that it passed; returns its number."""
        number = journal.aliases(self.client, "tiny").get("champion")
        if number is None:
            return None
        (version,) = [each for each in self.versions() if str(each.version) == number]
        folder = self.files(version)
        weights = sha256_file(folder / STORED)
        evaluation = folder / folder_of(version.tags)
        record = json.loads((evaluation / "reports/gates/tiny.json").read_text())
        assert record["model"] == "tiny"
        assert (record["passed"], record["mode"]) == (1, "enforce")
        evidence = {item["file"]: item["sha256"] for item in record["evidence"]}
        assert evidence["models/tiny/model.safetensors"] == weights
        assert True in self.truth[weights], "the gate failed them last"
        return number


@pytest.fixture
def kit(restock, no_tracker, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "_GRACE_SECONDS", 0.0)
    monkeypatch.setattr(journal, "_BY_HAND_SECONDS", 0.0)
    monkeypatch.setattr(pyfunc, "_CODE", ("__init__.py",))
    return Kit(restock(tmp_path / "project"), tmp_path / "kit")


QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@pytest.mark.slow
def test_no_command_leaves_a_champion_that_failed(kit):
    limits = settings(
        max_examples=5,
        stateful_step_count=30,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=QUIET,
    )
    run_state_machine_as_test(lambda: Machine(kit), settings=limits)
    print(kit.steps, "steps, of which ours:", kit.ours)
    assert kit.steps >= 90


@pytest.mark.soak
def test_no_command_leaves_a_champion_that_failed_in_the_long_run(kit):
    limits = settings(
        max_examples=60,
        stateful_step_count=50,
        deadline=None,
        print_blob=True,
        suppress_health_check=QUIET,
    )
    run_state_machine_as_test(lambda: Machine(kit), settings=limits)
    assert kit.steps >= 900
