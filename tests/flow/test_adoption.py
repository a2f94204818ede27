"""Sources of the user's own in a flow's checkout: the same as `dvc repro` reads at home."""

import os
import subprocess
import sys

import pytest

from genmint.common.errors import ConfigError
from genmint.flow.adoption import copy_sources
from genmint.flow.checkout import checked_out, override


def dvc(root, *arguments):
    subprocess.run([sys.executable, "-m", "dvc", *arguments, "-q"], cwd=root, check=True)


@pytest.fixture
def own(repository):
    """A repository whose data set lies at a path, and what a flow's checkout then has there."""

    class Own:
        root = repository.root
        repository_ = repository

        def at(self, path):
            params = self.root / "params.yaml"
            params.write_text(params.read_text().replace("data/sources/d.yaml", path))
            return self.root / path

        def commit(self):
            return repository.commit()

        def adopted(self, path, base, fresh=(), **options):
            with checked_out(repository.project, base, "run") as checkout:
                copy_sources(repository.project, checkout, override(checkout, {}), fresh, **options)
                target = checkout.root / path
                if target.is_file():
                    return target.read_text()
                return {
                    file.relative_to(target).as_posix(): file.read_text()
                    for file in target.rglob("*")
                    if file.is_file() and file.suffix != ".dvc" and file.name != ".gitignore"
                }

        def left(self):
            return sorted(path.name for path in (self.root / ".genmint" / "checkouts").iterdir())

    return Own()


@pytest.mark.parametrize("fresh", [(), ("d",)])
def test_a_single_file_that_was_never_added_comes_along(own, fresh):
    path = "data/own/book.txt"
    file = own.at(path)
    file.parent.mkdir()
    file.write_text("words")
    assert own.adopted(path, own.commit(), fresh) == "words"
    assert not (own.root / "data/own/book.txt.dvc").exists()


def test_a_link_to_a_folder_elsewhere_is_taken_as_the_folder(own, tmp_path):
    drive = tmp_path / "drive"
    drive.mkdir()
    (drive / "1.png").write_text("one")
    own.at("data/own/things").parent.mkdir()
    (own.root / "data/own/things").symlink_to(drive)
    assert own.adopted("data/own/things", own.commit()) == {"1.png": "one"}
    assert (drive / "1.png").is_file()


def test_a_relative_path_out_of_the_repository_leaves_nothing_behind(own, tmp_path):
    faces = tmp_path / "faces"
    faces.mkdir()
    (faces / "1.png").write_text("one")
    own.at("../faces")
    base = own.commit()
    for fresh in ((), ("d",)):
        with pytest.raises(ConfigError, match=rf"leads out.*\({faces}\)"):
            own.adopted("../faces", base, fresh)
    assert own.left() == []


@pytest.mark.parametrize("added", ["data/own", "data/own/things/a"])
def test_a_folder_that_dvc_keeps_by_another_pointer_is_as_committed(own, added):
    folder = own.at("data/own/things")
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "1.png").write_text("one")
    (own.root / ".gitignore").write_text("/.genmint/\n")
    dvc(own.root, "add", added)
    base = own.commit()
    assert own.adopted("data/own/things", base) == {"a/1.png": "one"}
    with pytest.raises(ConfigError, match=r"datasets\.d\.path: data/own/things: DVC keeps it by"):
        own.adopted("data/own/things", base, ("d",))


@pytest.mark.parametrize("kept_by", ["git", "dvc"])
def test_a_folder_of_which_only_a_part_is_committed_is_refused_by_name(own, kept_by):
    folder = own.at("corpus/things")
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "1.png").write_text("one")
    if kept_by == "dvc":
        dvc(own.root, "add", "corpus/things/a")
    base = own.commit()
    assert own.adopted("corpus/things", base) == {"a/1.png": "one"}
    (folder / "new\x1b.png").write_text("two")
    with pytest.raises(ConfigError, match=r"a part of corpus/things is committed, but not") as e:
        own.adopted("corpus/things", base)
    assert "new\\x1b.png" in str(e.value)
    taken = own.adopted("corpus/things", base, ignore_uncommitted=True)
    assert taken == {"a/1.png": "one"}


def test_a_description_that_is_not_committed_is_refused(own):
    base = own.at("data/sources/mine.yaml") and own.commit()
    (own.root / "data/sources/mine.yaml").write_text("source: digits\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: .*not committed. Run `git add"):
        own.adopted("data/sources/mine.yaml", base)


def test_links_and_bad_names_never_end_in_a_traceback(own, tmp_path):
    folder = own.at("data/own/things")
    folder.mkdir(parents=True)
    (folder / "1.png").write_text("one")
    (tmp_path / "secret.png").write_text("secret")
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    (folder / "dead.png").symlink_to("nothing")
    (folder / "up").symlink_to("..")
    (folder / os.fsdecode(b"caf\xe9.png")).write_text("x")
    taken = own.adopted("data/own/things", own.commit())
    note = taken.pop(".genmint-not-copied.json")
    assert taken == {"1.png": "one"}
    for name in ("out.png", "dead.png", "up", "caf\\\\xe9.png"):
        assert f'"{name}"' in note


def test_a_folder_as_dvc_leaves_it_with_links_into_its_cache_is_taken(own):
    folder = own.at("data/own/things")
    folder.mkdir(parents=True)
    (folder / "1.png").write_text("one")
    dvc(own.root, "config", "cache.type", "symlink")
    (own.root / ".gitignore").write_text("/.genmint/\n")
    dvc(own.root, "add", "data/own/things")
    assert (folder / "1.png").is_symlink()
    base = own.commit()
    (folder / "2.png").write_text("two")
    assert own.adopted("data/own/things", base) == {"1.png": "one"}
    assert own.adopted("data/own/things", base, ("d",)) == {"1.png": "one", "2.png": "two"}
