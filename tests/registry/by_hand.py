"""What people and API clients do in MLflow: rules of the state machine of the registry."""

import contextlib
import shutil
import sqlite3

from hypothesis import strategies as st
from hypothesis.stateful import rule
from tests.registry.machine import ANY, Registered

TAGS = ("gate", "gate_mode", "record", "weights", "grounds", "signature")
ALIASES = ("champion", "previous-champion", "challenger")


class Aliases(Registered):
    """What people do with aliases."""

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


class Names(Registered):
    """What people do with registered models."""

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


class Versions(Registered):
    """What people do with versions and their tags."""

    @rule(number=ANY, journal_too=st.booleans())
    def delete_version(self, number, journal_too):
        name = "tiny.journal" if journal_too and number % 2 else "tiny"
        with self.by_hand(f"delete a version of {name}"):
            if version := self.one(number, name):
                self.client.delete_model_version(name, version.version)

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


class Entries(Registered):
    """What people do with the journal."""

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


class Store(Registered):
    """What people do with runs, experiments and files."""

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
