"""A disk that is really full (a tmpfs of 24 MB): one sentence each, nothing partial, then on."""

import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.common.test_exhaustion_verbs import PARAMS, files_of, leftovers, make_sources, verbs

from genmint import cli

pytestmark = [pytest.mark.soak, pytest.mark.slow]

_SIZE = "24m"
_BLOCK = 1 << 20


class Disk:
    """A file system of 24 MB, which a single file fills up."""

    def __init__(self, root):
        self.root = root
        self.ballast = root / "ballast"

    @contextlib.contextmanager
    def full(self, left=0):
        """No more than `left` bytes can be written while the block runs."""
        with self.ballast.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            for size in (_BLOCK, 4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        stream.write(bytes(size))
        os.truncate(self.ballast, max(self.ballast.stat().st_size - left, 0))
        try:
            yield
        finally:
            self.ballast.unlink(missing_ok=True)


def mounted(folder):
    """Mount the small disk at a folder; the reason if that is not possible here."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux to mount a small disk"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "genmint-test", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return None if done.returncode == 0 else f"cannot mount a small disk: {done.stderr.strip()}"


@pytest.fixture
def disk(tmp_path):
    """An empty small disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    reason = mounted(folder)
    if reason is not None:
        pytest.skip(reason)
    yield Disk(folder)
    # Lazily: a process that a failed test left may still have a file open there.
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def project(disk, copy_store, no_tracker):
    """The project of three kinds of data, on the small disk."""
    root = disk.root / "project"
    checkout = Path(cli.__file__).parents[2]
    copy_store(root)
    (root / "dvc.yaml").write_text("stages: {}\n")
    YAML().dump(PARAMS, root / "params.yaml")
    (root / "data").mkdir()
    for name in ("config", "data/sources"):
        (root / name).symlink_to(checkout / name)
    make_sources(root)
    return root


def genmint(root, *verb):
    """Run a verb as a person does, with temporary files on the same disk."""
    temporary = root.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    env = {**os.environ, "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    # MLflow looks for it, and behaves otherwise under pytest.
    env.pop("PYTEST_CURRENT_TEST", None)
    return subprocess.run(
        [sys.executable, "-m", "genmint", *verb],
        cwd=root, env=env, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def test_the_disk_of_this_test_gets_full_and_empty_again(disk):
    with disk.full(), pytest.raises(OSError, match="No space left") as caught:
        (disk.root / "x").write_bytes(bytes(5000))
    assert caught.value.errno == errno.ENOSPC
    (disk.root / "x").write_bytes(bytes(5000))


# What only reads, and needs no space: it must work on a full disk, and be no half sentence.
READS = ("status", "journal", "lineage")


def is_one_sentence(verb, done, root):
    """Whether a failure is one line that names a path of the disk, and what is the matter."""
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1, (verb, done)
    assert "Traceback" not in done.stderr, (verb, done.stderr)
    told = [line for line in lines if "disk full while writing" in line]
    # A training run that is not sent to the registry either says so in a line of its own.
    assert len(told) == (len(lines) if verb[0] == "train" else 1), (verb, done.stderr)
    for line in told:
        assert str(root.parent) in line, (verb, line)
        assert "free space and run the same command again" in line, (verb, line)
        assert "a file (below" not in line, (verb, line)


# Room for locks and other notes, but not for what is written.
@pytest.mark.parametrize("left", [0, 8192])
def test_each_stage_and_verb_on_a_full_disk_is_one_sentence_and_works_afterwards(
    disk, project, left
):
    all_verbs = [*verbs("picture", "pictures", "x.png"), ("promote", "picture"), ("status",)]
    all_verbs += [("journal", "picture"), ("lineage", "picture"), ("report",)]
    all_verbs += [("sample", "picture@champion", "-n", "4", "--out", "y.png")]
    failed = set()
    for verb in all_verbs:
        before = files_of(project)
        with disk.full(left):
            done = genmint(project, *verb)
        after = files_of(project)
        if done.returncode == 0:
            # It needed no more than there was.
            assert left or verb[0] in READS, (verb, done)
            assert done.stderr == "", verb
            continue
        failed.add(verb[0])
        is_one_sentence(verb, done, project)
        # What was there is as it was, or gone where it belongs to what failed.
        assert after == {path: before[path] for path in after}, verb
        assert leftovers(project) == [], verb
        assert list((disk.root / "tmp").iterdir()) == [], verb
        again = genmint(project, *verb)
        assert (again.returncode, "Traceback" in again.stderr) == (0, False), (verb, again)
    assert failed >= {"ingest", "validate", "prepare", "reference", "train", "evaluate", "promote"}
    assert left or failed >= {"gate", "sample", "encode", "explore", "report", "add"}
