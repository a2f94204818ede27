"""A flow works in a tree of its own, and the user's stays as it is, to the byte."""

import shutil
import subprocess
import sys
import time

import pytest
from tests.flow.conftest import Repository, bare_git
from tests.unmounted import Unmounted

from genmint.common.dvc_config import cache_dir, has_remote
from genmint.common.errors import ConfigError, TemporaryError
from genmint.data.ingestion.folder import Folder
from genmint.flow.adoption import adopt_each, copy_sources
from genmint.flow.checkout import checked_out, override
from genmint.flow.publish import gather_results, publish
from genmint.flow.revision import resolve_revision
from genmint.flow.stage import ProcessGroup, reproduce

STAGES = [
    *("ingest@d", "prepare@d", "reference@d"),
    *(f"{verb}@{name}" for name in "ab" for verb in ("train", "evaluate", "gate")),
]


def test_uncommitted_changes_are_refused_by_name(repository):
    committed = resolve_revision(repository.project, "HEAD", ignore_uncommitted=False)
    (repository.root / "params.yaml").write_text("other: 1\n")
    with pytest.raises(ConfigError, match=r"would not be trained: params\.yaml\. Commit them, or"):
        resolve_revision(repository.project, "HEAD", ignore_uncommitted=False)
    assert resolve_revision(repository.project, "main", ignore_uncommitted=True) == committed
    repository.git("add", "-A")
    with pytest.raises(ConfigError, match=r"params\.yaml"):
        resolve_revision(repository.project, "HEAD", ignore_uncommitted=False)


def test_what_dvc_writes_and_what_git_does_not_track_is_no_change(repository):
    (repository.root / "dvc.lock").write_text("schema: '2.0'\n")
    repository.commit()
    (repository.root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    (repository.root / "notes.txt").write_text("mine")
    resolve_revision(repository.project, "HEAD", ignore_uncommitted=False)


def test_a_revision_that_is_not_there_is_named(repository):
    with pytest.raises(ConfigError, match="no revision 'nowhere'"):
        resolve_revision(repository.project, "nowhere", ignore_uncommitted=False)


def test_the_users_tree_index_and_branch_are_the_same_to_the_byte(repository):
    """With changes in tree and index, a whole round from stages to branch."""
    home = repository.project
    base = repository.git("rev-parse", "HEAD")
    (repository.root / "params.yaml").write_text("datasets: {}\n")
    (repository.root / "staged.txt").write_text("staged")
    repository.git("add", "staged.txt")
    (repository.root / "untracked.txt").write_text("untracked")
    before = repository.fingerprint()
    index = (repository.root / ".git" / "index").read_bytes()
    with checked_out(home, base, "run") as checkout:
        override(checkout, {"models.a.steps": 20})
        reproduce(checkout, STAGES, process_group=ProcessGroup(), say=print)
        gather_results(checkout, ["a", "b"])
        assert publish(home, checkout, base, "run", "retrain", models=["a", "b"])
    assert repository.fingerprint() == before
    assert (repository.root / ".git" / "index").read_bytes() == index
    assert repository.git("worktree", "list").count("\n") == 0
    assert list((repository.root / ".genmint" / "checkouts").iterdir()) == []


def test_it_shares_the_cache_and_knows_the_remote(repository, tmp_path):
    remote = tmp_path / "remote"
    with (repository.root / ".dvc" / "config").open("a") as stream:
        # Relative to where the file lies, which a checkout does not.
        stream.write("    remote = shared\n['remote \"shared\"']\n    url = ../../remote\n")
    base = repository.commit()
    with checked_out(repository.project, base, "run") as checkout:
        assert cache_dir(checkout.root) == repository.root / ".dvc" / "cache"
        assert has_remote(checkout.root)
        reproduce(checkout, ["ingest@d"], process_group=ProcessGroup(), say=print)
        subprocess.run([sys.executable, "-m", "dvc", "push", "-q"], cwd=checkout.root, check=True)
    assert list(remote.rglob("*"))
    assert [path for path in (repository.root / ".dvc" / "cache").rglob("*") if path.is_file()]


def test_two_flows_of_one_name_do_not_share_it(repository):
    base = repository.git("rev-parse", "HEAD")
    with (
        checked_out(repository.project, base, "run"),
        pytest.raises(TemporaryError, match="in use by another process"),
        checked_out(repository.project, base, "run"),
    ):
        pass


def test_what_a_killed_flow_left_goes_with_the_next(repository):
    base = repository.git("rev-parse", "HEAD")
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from genmint.flow.checkout import checked_out\n"
        "from genmint.common.project import Project\n"
        f"with checked_out(Project(Path({str(repository.root)!r})), {base!r}, 'dead'):\n"
        "    print('there', flush=True)\n"
        "    time.sleep(300)\n"
    )
    flow = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert flow.stdout.readline() == "there\n"
    left = repository.root / ".genmint" / "checkouts" / "dead"
    with checked_out(repository.project, base, "other"):
        assert left.is_dir()  # it is at work
    flow.kill()
    flow.wait()
    assert left.is_dir()
    with checked_out(repository.project, base, "other"):
        assert not left.exists()
    assert repository.git("worktree", "list").count("\n") == 0


def test_a_worktree_on_a_disk_that_is_not_mounted_is_not_forgotten(repository, tmp_path):
    user = Unmounted(repository.root, tmp_path)
    base = repository.git("rev-parse", "HEAD")
    with checked_out(repository.project, base, "run"):
        pass
    # Also where there is something of a dead flow to remove.
    (repository.root / ".genmint" / "checkouts" / "dead.lock").touch()
    with checked_out(repository.project, base, "other"):
        pass
    user.is_as_it_was()


def test_what_is_left_without_a_lock_goes_with_the_next(repository):
    """A folder that could not be removed, and a worktree whose folder somebody deleted."""
    base = repository.git("rev-parse", "HEAD")
    parent = repository.root / ".genmint" / "checkouts"
    for name in ("folder", "entry"):
        repository.git("worktree", "add", "-q", "--detach", str(parent / name), base)
    # As a `git worktree add` leaves it that was killed.
    repository.git("worktree", "lock", str(parent / "entry"))
    shutil.rmtree(parent / "entry")
    with checked_out(repository.project, base, "run"):
        assert sorted(path.name for path in parent.iterdir()) == ["run", "run.lock"]
    assert repository.git("worktree", "list").count("\n") == 0


def test_the_files_are_those_of_the_commit_whatever_this_machine_does_to_line_ends(repository):
    """Also of a commit that is older than .gitattributes."""
    (repository.root / "crlf.txt").write_bytes(b"as delivered\r\n")
    base = repository.commit()
    committed = (repository.root / "params.yaml").read_bytes()
    repository.git("config", "core.autocrlf", "true")
    with checked_out(repository.project, base, "run") as checkout:
        assert checkout.params.read_bytes() == committed
        assert (checkout.root / "crlf.txt").read_bytes() == b"as delivered\r\n"
        assert bare_git(checkout.root, "status", "--porcelain") == ""


def test_overrides_keep_the_comments(repository):
    params = override(repository.project, {"models.a.steps": 7, "models.b.seed": 3})
    assert (params.models["a"].steps, params.models["b"].seed) == (7, 3)
    text = (repository.root / "params.yaml").read_text()
    assert "# What a person wrote." in text
    assert "# eight pixels" in text


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"models.c.steps": 1}, "no entry 'models.c'"),
        ({"steps": 1}, "'steps' is not a key of an entry"),
        ({"models.a.stepz": 1}, "stepz"),
        ({"models.a.steps": -1}, "steps"),
    ],
)
def test_an_override_that_cannot_be_is_refused(repository, values, says):
    with pytest.raises(ConfigError, match=says):
        override(repository.project, values)


def own_folder(repository, added):
    folder = repository.root / "data" / "own" / "things"
    folder.mkdir(parents=True)
    (folder / "1.png").write_bytes(b"one")
    params = repository.root / "params.yaml"
    params.write_text(params.read_text().replace("data/sources/d.yaml", "data/own/things"))
    if added:
        (repository.root / ".gitignore").write_text("/.genmint/\n/data/own/things/\n")
        subprocess.run(
            [sys.executable, "-m", "dvc", "add", "-q", "data/own/things"],
            cwd=repository.root, check=True,
        )  # fmt: skip
    return folder, repository.commit()


def test_a_folder_that_was_never_added_comes_along_and_gets_a_pointer(repository):
    folder, base = own_folder(repository, added=False)
    mode = (folder / "1.png").stat().st_mode
    with checked_out(repository.project, base, "run") as checkout:
        params = override(checkout, {})
        assert copy_sources(repository.project, checkout, params, ()) == ["data/own/things.dvc"]
        assert (checkout.root / "data/own/things/1.png").read_bytes() == b"one"
        published = publish(repository.project, checkout, base, "run", "retrain", models=[])
    assert "data/own/things.dvc" in repository.git("ls-tree", "-r", "--name-only", published.branch)
    assert not (repository.root / "data/own/things.dvc").exists()
    # DVC makes what it adds read-only: that was a copy.
    assert (folder / "1.png").stat().st_mode == mode


def test_a_folder_that_was_added_is_as_committed_unless_fresh(repository):
    folder, base = own_folder(repository, added=True)
    (folder / "2.png").write_bytes(b"two")
    for fresh, files in (((), ["1.png"]), (("d",), ["1.png", "2.png"])):
        with checked_out(repository.project, base, "run") as checkout:
            copy_sources(repository.project, checkout, override(checkout, {}), fresh)
            there = checkout.root / "data/own/things"
            assert sorted(path.name for path in there.iterdir()) == files
    with (
        checked_out(repository.project, base, "run") as checkout,
        pytest.raises(ConfigError, match="no data set 'e'"),
    ):
        copy_sources(repository.project, checkout, override(checkout, {}), ("e",))


def test_a_source_that_cannot_be_had_stops_no_other(repository):
    own = repository.root / "data" / "own"
    (own / "nested" / "things").mkdir(parents=True)
    (own / "nested" / "things" / "1.png").write_bytes(b"one")
    (own / "link").symlink_to(own / "nowhere")
    params = repository.root / "params.yaml"
    line = "  d: {path: data/sources/d.yaml, kind: image, resolution: 8}"
    others = [f"  {name}: {{path: data/own/{path}, kind: image, resolution: 8}}\n"
              for name, path in (("dangling", "link"), ("nested", "nested/things"))]  # fmt: skip
    params.write_text(params.read_text().replace(line, f"{''.join(others)}{line}"))
    base = repository.commit()
    with checked_out(repository.project, base, "run") as checkout:
        found = override(checkout, {})
        failures = adopt_each(repository.project, checkout, found, (), found.datasets)
        assert list(failures) == ["dangling"]
        assert "broken symbolic link" in failures["dangling"]
        assert (checkout.root / "data/own/nested/things/1.png").read_bytes() == b"one"
        published = publish(repository.project, checkout, base, "run", "retrain", models=[])
    kept = repository.git("ls-tree", "-r", "--name-only", published.branch)
    assert "data/own/nested/things.dvc" in kept


def test_it_takes_no_second_more_than_it_must(repository):
    base = repository.git("rev-parse", "HEAD")
    begun = time.monotonic()
    with checked_out(repository.project, base, "run"):
        pass
    assert time.monotonic() - begun < 5


@pytest.fixture
def with_submodule(repository, tmp_path, monkeypatch):
    """The repository of a user whose data lie in a submodule, itself with one."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "t")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "t@t.org")
    allowed = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.file.allow",
               "GIT_CONFIG_VALUE_0": "always"}  # fmt: skip
    inner, things = Repository(tmp_path / "inner"), Repository(tmp_path / "things")
    for each in (inner, things):
        each.root.mkdir()
        each.git("init", "-q", "-b", "main")
        (each.root / "images").mkdir()
        (each.root / "images" / "1.png").write_bytes(each.root.name.encode())
        each.commit()
    with monkeypatch.context() as patched:
        for name, value in allowed.items():
            patched.setenv(name, value)
        things.git("submodule", "--quiet", "add", str(inner.root), "more")
        things.commit()
        repository.git("submodule", "--quiet", "add", "-f", str(things.root), "data/own/things")
        repository.git("submodule", "--quiet", "update", "--init", "--recursive")
    return things


def of_submodule(repository, path):
    params = repository.root / "params.yaml"
    params.write_text(params.read_text().replace("data/sources/d.yaml", path))
    return repository.commit()


@pytest.mark.parametrize("path", ["data/own/things", "data/own/things/images"])
def test_data_in_a_submodule_are_in_the_checkout_as_the_user_has_them(
    repository, with_submodule, path
):
    """The commit that is checked out was never pushed, and the origin is gone."""
    inside = Repository(repository.root / "data/own/things")
    (inside.root / "images" / "2.png").write_bytes(b"two")
    inside.commit()
    base = of_submodule(repository, path)
    shutil.rmtree(with_submodule.root)
    before = repository.fingerprint()
    with checked_out(repository.project, base, "run") as checkout:
        assert copy_sources(repository.project, checkout, override(checkout, {}), ()) == []
        for tree in (repository.root, checkout.root):
            found = Folder((tree / path).resolve(), False, tuple).listing((".png",), "image")
            assert "2.png" in {name.rpartition("/")[2] for name in found.paths}
        here, there = (
            Folder((tree / path).resolve(), False, tuple).listing((".png",), "image")
            for tree in (repository.root, checkout.root)
        )
        assert there == here
        assert (checkout.root / "data/own/things/more/images/1.png").read_bytes() == b"inner"
        # Nothing for the flow to publish.
        assert publish(repository.project, checkout, base, "run", "retrain", models=[]) is None
    assert repository.fingerprint() == before
    assert repository.git("worktree", "list").count("\n") == 0
    assert inside.git("worktree", "list").count("\n") == 0


def test_files_of_a_submodule_that_are_not_committed_are_refused_by_name(
    repository, with_submodule
):
    base = of_submodule(repository, "data/own/things/images")
    (repository.root / "data/own/things/images/new.png").write_bytes(b"new")
    message = r"but not data/own/things/images/new\.png\. Commit"
    with (
        checked_out(repository.project, base, "run") as checkout,
        pytest.raises(ConfigError, match=message),
    ):
        copy_sources(repository.project, checkout, override(checkout, {}), ())
    (repository.root / "data/own/things/images/1.png").write_bytes(b"changed")
    with pytest.raises(ConfigError, match="would not be trained: data/own/things"):
        resolve_revision(repository.project, "HEAD", ignore_uncommitted=False)


def test_a_submodule_without_the_recorded_commit_is_named(repository, with_submodule):
    (with_submodule.root / "images" / "2.png").write_bytes(b"two")
    newer = with_submodule.commit()
    repository.git("update-index", "--cacheinfo", f"160000,{newer},data/own/things")
    repository.git("commit", "-qm", "newer")
    base = repository.git("rev-parse", "HEAD")
    # It is fetched while its origin is there.
    with checked_out(repository.project, base, "run") as checkout:
        assert (checkout.root / "data/own/things/images/2.png").read_bytes() == b"two"
    repository.git("update-index", "--cacheinfo", f"160000,{'1' * 40},data/own/things")
    repository.git("commit", "-qm", "nowhere")
    base = repository.git("rev-parse", "HEAD")
    message = "submodule data/own/things has no commit 111111111111, which is recorded"
    with pytest.raises(ConfigError, match=message), checked_out(repository.project, base, "run"):
        pass


def test_a_submodule_that_nobody_checked_out_stays_empty(repository, with_submodule, tmp_path):
    of_submodule(repository, "data/own/things")
    clone = repository.clone(tmp_path / "clone")
    with checked_out(clone.project, "HEAD", "run") as checkout:
        assert list((checkout.root / "data/own/things").iterdir()) == []
