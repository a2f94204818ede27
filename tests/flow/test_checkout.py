"""A flow works in a tree of its own, and the user's stays as it is, to the byte."""

import subprocess
import sys
import time

import pytest

from genmint.dvc_config import cache_dir, has_remote
from genmint.errors import ConfigError, TemporaryError
from genmint.flow.adoption import adopt, adopt_each
from genmint.flow.checkout import checked_out, override, resolve
from genmint.flow.publish import gather_results, publish
from genmint.flow.stage import Crew, reproduce

STAGES = [
    *("ingest@d", "prepare@d", "reference@d"),
    *(f"{verb}@{name}" for name in "ab" for verb in ("train", "evaluate", "gate")),
]


def test_uncommitted_changes_are_refused_by_name(repository):
    committed = resolve(repository.project, "HEAD", ignore_uncommitted=False)
    (repository.root / "params.yaml").write_text("other: 1\n")
    with pytest.raises(ConfigError, match=r"would not be trained: params\.yaml\. Commit them, or"):
        resolve(repository.project, "HEAD", ignore_uncommitted=False)
    assert resolve(repository.project, "main", ignore_uncommitted=True) == committed
    repository.git("add", "-A")
    with pytest.raises(ConfigError, match=r"params\.yaml"):
        resolve(repository.project, "HEAD", ignore_uncommitted=False)


def test_what_dvc_writes_and_what_git_does_not_track_is_no_change(repository):
    (repository.root / "dvc.lock").write_text("schema: '2.0'\n")
    repository.commit()
    (repository.root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    (repository.root / "notes.txt").write_text("mine")
    resolve(repository.project, "HEAD", ignore_uncommitted=False)


def test_a_revision_that_is_not_there_is_named(repository):
    with pytest.raises(ConfigError, match="no revision 'nowhere'"):
        resolve(repository.project, "nowhere", ignore_uncommitted=False)


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
        reproduce(checkout, STAGES, crew=Crew(), say=print)
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
        reproduce(checkout, ["ingest@d"], crew=Crew(), say=print)
        subprocess.run([sys.executable, "-m", "dvc", "push", "-q"], cwd=checkout.root, check=True)
    assert list(remote.rglob("*"))
    assert [path for path in (repository.root / ".dvc" / "cache").rglob("*") if path.is_file()]


def test_two_flows_of_one_name_do_not_share_it(repository):
    base = repository.git("rev-parse", "HEAD")
    with (
        checked_out(repository.project, base, "run"),
        pytest.raises(TemporaryError, match="another process works there"),
        checked_out(repository.project, base, "run"),
    ):
        pass


def test_what_a_killed_flow_left_goes_with_the_next(repository):
    base = repository.git("rev-parse", "HEAD")
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from genmint.flow.checkout import checked_out\n"
        "from genmint.project import Project\n"
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


def test_overrides_keep_the_comments(repository):
    params = override(repository.project, {"models.a.steps": 7, "models.b.seed": 3})
    assert (params.models["a"].steps, params.models["b"].seed) == (7, 3)
    text = (repository.root / "params.yaml").read_text()
    assert "# What a person wrote." in text
    assert "# eight pixels" in text


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"models.c.steps": 1}, "no block 'models.c'"),
        ({"steps": 1}, "'steps' is no key of a block"),
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
        assert adopt(repository.project, checkout, params, ()) == ["data/own/things.dvc"]
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
            adopt(repository.project, checkout, override(checkout, {}), fresh)
            there = checkout.root / "data/own/things"
            assert sorted(path.name for path in there.iterdir()) == files
    with (
        checked_out(repository.project, base, "run") as checkout,
        pytest.raises(ConfigError, match="no data set 'e'"),
    ):
        adopt(repository.project, checkout, override(checkout, {}), ("e",))


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
        assert "symbolic link to nothing" in failures["dangling"]
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
