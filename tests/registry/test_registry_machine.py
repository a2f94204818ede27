"""Whatever people and API clients do in MLflow, no command of ours leaves a failed champion.

A state machine interleaves our commands with everything that can be done to registry and tracker.
After each command of ours, the champion's files are read past genmint: their weights passed the
gate that was recorded for them last, or there is no champion and the reason is said.
"""

import contextlib
import io
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from genmint import tracking
from genmint.common.errors import GenmintError
from genmint.common.files import sha256_file
from genmint.promotion.promote import promote
from genmint.promotion.reconcile import reconcile
from genmint.promotion.rollback import rollback
from genmint.registry import entries, journal, pyfunc
from genmint.registry.signature import folder_of
from genmint.reporting.status import status

# Seed and ELBO of each model; those of `stock` are among them.
MODELS = {0: -20.0, 1: -15.0, 2: -35.0, 3: -18.0, 5: -5.0}
GATES = {"lenient": -30.0, "strict": -10.0}
MADE = ("models", "metrics", "samples", "reports", "params.yaml")
TAGS = ("gate", "gate_mode", "record", "weights", "grounds", "signature")
STORED = "artifacts/weights/model.safetensors"
ALIASES = ("champion", "previous-champion", "challenger")
ANY = st.integers(0, 30)
SEED, GATE = st.sampled_from(sorted(MODELS)), st.sampled_from(sorted(GATES))
TO = st.none() | st.integers(1, 6)


def renew(source, target):
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


class Kit:
    """One project for all examples, and what they begin with: MLflow keeps its file open."""

    def __init__(self, workshop, folder):
        self.workshop, self.folder = workshop, folder
        self.weights, self.steps, self.ours = {}, 0, 0
        for gate, bound in GATES.items():
            workshop.edit("elbo: {min: -30.0, baseline", f"elbo: {{min: {bound}, baseline")
            for seed, elbo in MODELS.items():
                with contextlib.redirect_stdout(io.StringIO()):
                    self.weights[seed] = workshop.make(seed=seed, elbo=elbo)
                for name in MADE:
                    target = folder / gate / str(seed) / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    renew(workshop.root / name, target)
            workshop.edit(f"elbo: {{min: {bound}, baseline", "elbo: {min: -30.0, baseline")
        for name in ("mlflow.db", "mlartifacts"):
            renew(workshop.root / name, folder / name)

    def begin(self):
        for store in (SqlAlchemyStore, RegistryStore):
            for engine in store._engine_map.values():
                engine.dispose()
        for name in ("mlflow.db", "mlartifacts"):
            renew(self.folder / name, self.workshop.root / name)

    def lay_out(self, seed, gate):
        for name in MADE:
            renew(self.folder / gate / str(seed) / name, self.workshop.root / name)


def again(name):
    return lambda self, **drawn: getattr(self, name)(**drawn)


class Machine(RuleBasedStateMachine):
    def __init__(self, kit):
        super().__init__()
        self.kit = kit
        self.root = kit.workshop.root

    @initialize()
    def begin(self):
        self.kit.begin()
        self.client = MlflowClient(tracking.uri(self.kit.workshop.project))
        # What the gate said last of each set of weights; a set where nobody can know.
        self.truth = {weights: {MODELS[seed] > -30.0} for seed, weights in self.kit.weights.items()}
        self.renamed, self.copies, self.runs = [], 0, []
        self.kit.lay_out(1, "lenient")

    # What people and API clients do.

    def versions(self, name="tiny"):
        found = self.client.search_model_versions(f"name = '{name}'")
        return sorted(found, key=lambda version: int(version.version))

    def one(self, number, name="tiny"):
        known = self.versions(name)
        return known[number % len(known)] if known else None

    @contextlib.contextmanager
    def by_hand(self, what):
        self.kit.steps += 1
        note(what)
        # A person is told what MLflow refuses, and nothing has changed.
        with contextlib.suppress(MlflowException):
            yield

    @rule(alias=st.sampled_from(ALIASES), number=ANY)
    def move_alias(self, alias, number):
        with self.by_hand(f"move {alias}"):
            if version := self.one(number):
                self.client.set_registered_model_alias("tiny", alias, version.version)

    @rule(alias=st.sampled_from(ALIASES))
    def delete_alias(self, alias):
        with self.by_hand(f"delete {alias}"):
            self.client.delete_registered_model_alias("tiny", alias)

    @rule(alias=st.sampled_from(ALIASES), number=ANY)
    def dangling_alias(self, alias, number):
        """MLflow itself lets nobody do this; a database that was edited or restored may have it."""
        sql = "UPDATE registered_model_aliases SET version = ? WHERE name = 'tiny' AND alias = ?"
        database = sqlite3.connect(self.root / "mlflow.db")
        with self.by_hand(f"{alias} to nothing"), contextlib.closing(database):
            database.execute("PRAGMA foreign_keys = OFF")
            database.execute(sql, (number + 50, alias))
            database.commit()

    @rule(number=ANY, journal_too=st.booleans())
    def delete_version(self, number, journal_too):
        name = "tiny.journal" if journal_too and number % 2 else "tiny"
        with self.by_hand(f"delete a version of {name}"):
            if version := self.one(number, name):
                self.client.delete_model_version(name, version.version)

    @rule(which=st.sampled_from([("tiny",), ("tiny.journal",), ("tiny", "tiny.journal")]))
    def delete_model(self, which):
        for name in which:
            with self.by_hand(f"delete {name}"):
                self.client.delete_registered_model(name)

    @rule(which=st.sampled_from([("tiny",), ("tiny.journal",), ("tiny", "tiny.journal")]))
    def rename(self, which):
        for name in which:
            with self.by_hand(f"rename {name}"):
                new = f"old{len(self.renamed)}-{name}"
                self.client.rename_registered_model(name, new)
                self.renamed.append((name, new))

    @rule(number=ANY)
    def rename_back(self, number):
        with self.by_hand("rename back"):
            if self.renamed:
                name, new = self.renamed[number % len(self.renamed)]
                self.client.rename_registered_model(new, name)
                self.renamed.remove((name, new))

    @rule()
    def other_takes_the_name(self):
        for name in ("other", "other.journal"):
            with self.by_hand(f"rename {name}"):
                self.client.rename_registered_model(name, name.replace("other", "tiny"))

    @rule(name=st.sampled_from(["tiny", "tiny.journal"]))
    def recreate(self, name):
        with self.by_hand(f"create {name}"):
            self.client.create_registered_model(name)

    @rule(number=ANY, key=st.sampled_from(TAGS), other=ANY, value=st.sampled_from(["", "of"]))
    def edit_tag(self, number, key, other, value):
        with self.by_hand(f"tag {key}"):
            if version := self.one(number):
                texts = {"gate": ("passed", "refused"), "gate_mode": ("enforce", "dry-run")}
                text = texts.get(key, ("0" * 64, "'"))[other % 2]
                if value == "of":
                    text = self.one(other).tags.get(f"genmint.{key}", "")
                self.forget(version)
                self.client.set_model_version_tag("tiny", version.version, f"genmint.{key}", text)

    @rule(number=ANY, key=st.sampled_from(TAGS))
    def delete_tag(self, number, key):
        with self.by_hand(f"delete tag {key}"):
            if version := self.one(number):
                self.forget(version)
                self.client.delete_model_version_tag("tiny", version.version, f"genmint.{key}")

    @rule(number=ANY, text=st.sampled_from(["", "mine", "> **Alias reverted.** no"]))
    def describe(self, number, text):
        with self.by_hand("describe"):
            if version := self.one(number):
                self.client.update_model_version("tiny", version.version, text)
                self.client.set_model_version_tag("tiny", version.version, "override", text)

    @rule(number=ANY, tagged=st.booleans(), filed=st.booleans())
    def register_foreign(self, number, tagged, filed):
        with self.by_hand(f"foreign version, tagged {tagged}, with files {filed}"):
            if version := self.one(number):
                source = "file:///nowhere"
                if filed:
                    self.copies += 1
                    folder = self.root / "mlartifacts" / f"copy-{self.copies}"
                    with contextlib.suppress(FileNotFoundError):
                        shutil.copytree(self.files(version), folder)
                    source = folder.as_uri()
                    self.forget(version)
                tags = version.tags if tagged else {}
                self.client.create_model_version("tiny", source=source, tags=tags)

    @rule(number=ANY, name=st.sampled_from(["tiny", "other"]))
    def promote_button(self, number, name):
        with self.by_hand(f"copy a version of {name}"):
            if version := self.one(number, name):
                self.client.copy_model_version(f"models:/{name}/{version.version}", "tiny")

    @rule(number=ANY, kind=st.sampled_from(["promotion", "override", "rollback"]))
    def forge_entry(self, number, kind):
        with self.by_hand("forge an entry"):
            version, written = self.one(number), self.versions("tiny.journal")
            if version is not None:
                claim = max((int(each.version) for each in written), default=0) + 1
                tags = {"genmint.claims": str(claim), "genmint.kind": kind}
                tags["genmint.version"] = str(version.version)
                tags["genmint.weights"] = version.tags.get("genmint.weights", "")
                self.client.create_model_version("tiny.journal", "genmint:forged", tags=tags)

    @rule(
        number=ANY,
        key=st.sampled_from(
            ["version", "weights", "claims", "settled", "previous", "kind", "signature"]
        ),
        value=st.sampled_from([None, "1", "2", "none", "x"]),
    )
    def edit_entry(self, number, key, value):
        with self.by_hand(f"entry: {key} = {value}"):
            if entry := self.one(number, "tiny.journal"):
                tag = ("tiny.journal", entry.version, f"genmint.{key}")
                if value is None:
                    self.client.delete_model_version_tag(*tag)
                else:
                    self.client.set_model_version_tag(*tag, value)

    @rule(number=ANY)
    def delete_run(self, number):
        with self.by_hand("delete a run"):
            if (version := self.one(number)) and version.run_id:
                self.client.delete_run(version.run_id)
                self.runs.append(version.run_id)

    @rule()
    def restore_run(self):
        with self.by_hand("restore a run"):
            if self.runs:
                self.client.restore_run(self.runs.pop())

    @rule(number=ANY)
    def delete_files(self, number):
        with self.by_hand("mlflow gc"):
            if version := self.one(number):
                shutil.rmtree(self.files(version), ignore_errors=True)

    @rule()
    def delete_experiment(self):
        with self.by_hand("delete the experiment"):
            self.client.delete_experiment("1")

    @rule()
    def restore_experiment(self):
        with self.by_hand("restore the experiment"):
            self.client.restore_experiment("1")

    # What genmint does.

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

    def files(self, version):
        where = self.client.get_model_version_download_uri(version.name, version.version)
        return Path(where.removeprefix("file://"))

    def forget(self, version):
        """From here on an older record of these weights may be the only one that can be found."""
        with contextlib.suppress(FileNotFoundError):
            path = self.files(version) / STORED
            weights = sha256_file(path)
            self.truth[weights] = self.truth.get(weights, set()) | {True}


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
