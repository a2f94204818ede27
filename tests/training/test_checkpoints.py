"""Checkpoints on disk: whole, of this training alone, and gone when they are not needed."""

import random
import time

import pytest
import torch

from genmint.common.errors import ConfigError, GenmintError
from genmint.training import checkpoints
from genmint.training.checkpoints import (
    Checkpoint,
    checkpoint_seconds,
    first_difference,
    unfinished,
)

ABOUT = {"model": {"latent": 2, "optimiser": {"lr": 0.1}}, "code": "abc", "seed": 0}
STATE = {"now": {"weight": torch.arange(300.0), "step": 7}, "recoveries": []}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "c"


@pytest.fixture
def saved(folder):
    Checkpoint(folder, ABOUT).save(STATE)
    return folder / "state.pt"


def test_what_was_saved_comes_back(folder):
    checkpoint = Checkpoint(folder, ABOUT)
    assert checkpoint.load() is None
    checkpoint.save(STATE)
    checkpoint.save({**STATE, "lost": 3})
    found = Checkpoint(folder, ABOUT).load()
    assert torch.equal(found["now"]["weight"], STATE["now"]["weight"])
    assert (found["now"]["step"], found["lost"]) == (7, 3)


def test_a_version_of_torch_is_as_good_as_its_name(folder):
    for version in (torch.__version__, str(torch.__version__)):
        checkpoint = Checkpoint(folder, {"torch": version})
        checkpoint.save(STATE)
        assert checkpoint.load() is not None


def test_a_killed_writer_leaves_the_checkpoint_before(folder, saved, monkeypatch):
    def torn(held, path):
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", torn)
    with pytest.raises(KeyboardInterrupt):
        Checkpoint(folder, ABOUT).save({"now": "other"})
    assert Checkpoint(folder, ABOUT).load()["now"]["step"] == 7


def test_what_a_killed_writer_left_is_removed(folder, saved):
    (folder / ".state.pt.abc.tmp").write_bytes(b"half of it")
    (folder / ".about.json.abc.tmp").write_bytes(b"half of it")
    with Checkpoint(folder, ABOUT).locked():
        assert sorted(path.name for path in folder.iterdir()) == ["about.json", "lock", "state.pt"]


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_torn_file_is_set_aside_and_named(folder, saved, capsys, length):
    content = saved.read_bytes()[:length]
    saved.write_bytes(content)
    checkpoint = Checkpoint(folder, ABOUT)
    assert checkpoint.load() is None
    assert not saved.exists()
    assert (folder / "damaged.pt").read_bytes() == content
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"genmint: {saved}: damaged (")
    assert said.endswith("until this training run, which starts from the beginning, has ended.")
    checkpoint.save(STATE)
    assert checkpoint.load()["now"]["step"] == 7
    checkpoint.delete()
    assert not folder.exists()


def test_who_only_reads_sets_nothing_aside(folder, saved):
    saved.write_bytes(b"torn")
    assert Checkpoint(folder, ABOUT, writes=False).load() is None
    assert saved.read_bytes() == b"torn"


def test_garbage_is_never_gone_on_from_whatever_it_is(folder, saved):
    rng = random.Random(0)  # noqa: S311 - the same garbage every time
    whole = saved.read_bytes()
    for number in range(300):
        content = bytearray(whole if number % 2 else rng.randbytes(rng.randrange(200)))
        if number % 2:
            # Anywhere but in the padding, where it does no harm.
            at = whole.index(torch.arange(300.0).numpy().tobytes()) + rng.randrange(1200)
            content[at] ^= 1 << rng.randrange(8)
        saved.write_bytes(content)
        assert Checkpoint(folder, ABOUT).load() is None
        assert (folder / "damaged.pt").read_bytes() == content


@pytest.mark.parametrize("held", [[1], {"about": ABOUT}, {}, 3, None])
def test_a_file_of_torch_that_is_no_checkpoint_is_not_gone_on_from(folder, saved, held):
    torch.save(held, saved)
    assert Checkpoint(folder, ABOUT).load() is None


def test_a_checkpoint_that_runs_code_is_not_run(folder, saved, capsys):
    class Evil:
        def __reduce__(self):
            return print, ("never",)

    torch.save({"about": ABOUT, "state": Evil()}, saved)
    assert Checkpoint(folder, ABOUT).load() is None
    assert "never" not in capsys.readouterr().out


def test_a_checkpoint_of_another_configuration_is_refused_by_the_key_that_differs(folder, saved):
    now = {**ABOUT, "model": {"latent": 2, "optimiser": {"lr": 0.2}}}
    with pytest.raises(GenmintError) as raised:
        Checkpoint(folder, now).load()
    assert "does not fit: model.optimiser.lr was 0.1 and is 0.2" in str(raised.value)
    assert f"Delete {folder}" in str(raised.value)


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ("a.b", [1, 2], [1, 3])),
        ({"a": 1, "b": 2}, {"a": 1}, ("b", 2, None)),
        ({}, {"a": {"b": 2}}, ("a", None, {"b": 2})),
        ({"a": {"b": 1}}, {"a": None}, ("a", {"b": 1}, None)),
        ({"a": 1, "b": 1}, {"b": 2, "a": 2}, ("b", 1, 2)),
    ],
)
def test_the_first_key_that_differs_is_found(before, now, found):
    assert first_difference(before, now) == found


def about(**changes):
    return {"model": {"latent": 2, **changes}, "code": "abc"}


def test_unfinished_training_runs_of_other_settings_are_found(tmp_path):
    for name, held in (
        ("mine", {**about(), "seed": 0}),
        ("brother", {**about(), "seed": 2}),
        ("stranger", {**about(), "seed": 9}),
        ("other", {**about(latent=8), "seed": 0}),
    ):
        Checkpoint(tmp_path / name, held).save(STATE)
    # One that never came to save anything is no loss.
    Checkpoint(tmp_path / "empty", about(latent=3)).save(STATE)
    (tmp_path / "empty" / "state.pt").unlink()
    # Nor is one that was being deleted when its process was killed.
    Checkpoint(tmp_path / "dead.gone", about(latent=4)).save(STATE)
    assert unfinished(tmp_path, about(), range(3)) == [
        (tmp_path / "other", "model.latent", 8, 2),
        (tmp_path / "stranger", "seed", 9, 0),
    ]
    assert unfinished(tmp_path / "nowhere", about(), range(3)) == []


def test_a_token_is_kept_until_the_checkpoint_is_deleted(folder):
    first = Checkpoint(folder, ABOUT)
    with first.locked():
        token = first.token()
        assert first.token() == token
    with Checkpoint(folder, ABOUT).locked():
        again = Checkpoint(folder, ABOUT)
        assert again.token() == token
        again.delete()
        assert again.token() != token


def test_deleting_is_done_at_once_or_not_at_all(folder, saved, monkeypatch):
    """Killed while files go one by one, the next training must not find half of them."""
    checkpoint = Checkpoint(folder, ABOUT)
    checkpoint.token()

    def killed(path, **_):
        if path.exists():
            (path / "name").unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.delete()
    again = Checkpoint(folder, ABOUT)
    assert again.load() is None
    with again.locked():
        assert [path.name for path in folder.parent.iterdir()] == ["c"]


def test_after_a_success_nothing_is_left(folder):
    checkpoint = Checkpoint(folder, ABOUT)
    with checkpoint.locked():
        checkpoint.token()
        checkpoint.save(STATE)
        checkpoint.delete()
    assert list(folder.parent.iterdir()) == []


def test_after_a_failure_it_is_left_and_can_be_locked_again(folder):
    checkpoint = Checkpoint(folder, ABOUT)

    def fail():
        with checkpoint.locked():
            checkpoint.save(STATE)
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    with Checkpoint(folder, ABOUT).locked():
        assert checkpoint.load() is not None


def test_a_folder_that_somebody_deletes_meanwhile_is_no_failure(folder):
    checkpoint = Checkpoint(folder, ABOUT)
    with checkpoint.locked():
        checkpoint.save(STATE)
        checkpoints.shutil.rmtree(folder)
        checkpoint.delete()


def test_a_second_training_run_of_the_same_is_refused(folder):
    with (
        Checkpoint(folder, {}).locked(),
        pytest.raises(GenmintError, match="in use by another process of the same training run"),
        Checkpoint(folder, {}).locked(),
    ):
        pass
    with Checkpoint(folder, {}).locked():
        pass
    assert not folder.exists()


def test_a_process_that_only_reads_touches_nothing(folder, saved):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    reader = Checkpoint(folder, ABOUT, writes=False)
    with reader.locked():
        assert reader.load() is not None
        reader.save({"now": "other"})
        reader.delete()
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_full_disk_is_said_in_one_line_and_keeps_what_there_was(folder, saved, monkeypatch):
    def full(*_):
        raise RuntimeError("[enforce fail at inline_container.cc:672]\nno space left")

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        with pytest.raises(GenmintError) as raised:
            Checkpoint(folder, ABOUT).save(STATE)
    assert str(raised.value).startswith(f"{saved}: cannot be written ([enforce fail")
    assert "\n" not in str(raised.value)
    assert Checkpoint(folder, ABOUT).load() is not None


def test_it_is_due_after_the_interval(folder, monkeypatch):
    monkeypatch.setenv("GENMINT_CHECKPOINT_SECONDS", "5")
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    checkpoint = Checkpoint(folder, ABOUT)
    now[0] += 4.9
    assert not checkpoint.due()
    now[0] += 0.2
    assert checkpoint.due()
    checkpoint.save(STATE)
    assert not checkpoint.due()


def test_the_interval_is_30_seconds_unless_it_is_set(monkeypatch):
    monkeypatch.delenv("GENMINT_CHECKPOINT_SECONDS", raising=False)
    assert checkpoint_seconds() == 30
    monkeypatch.setenv("GENMINT_CHECKPOINT_SECONDS", "0")
    assert checkpoint_seconds() == 0
    for wrong in ("", "-1", "soon", "nan"):
        monkeypatch.setenv("GENMINT_CHECKPOINT_SECONDS", wrong)
        with pytest.raises(ConfigError, match="GENMINT_CHECKPOINT_SECONDS"):
            checkpoint_seconds()


def test_the_code_is_part_of_what_is_trained(tmp_path, monkeypatch):
    package = tmp_path / "genmint"
    for name in ("data", "models", "training"):
        (package / name).mkdir(parents=True)
        (package / name / "code.py").write_bytes(b"1\n")
    monkeypatch.setattr(checkpoints, "__file__", str(package / "training" / "checkpoints.py"))
    before = checkpoints.source_hash()
    assert checkpoints.source_hash() == before
    # As git writes it where core.autocrlf is true.
    (package / "models" / "code.py").write_bytes(b"1\r\n")
    assert checkpoints.source_hash() == before
    (package / "models" / "code.py").write_bytes(b"2\n")
    assert checkpoints.source_hash() != before
