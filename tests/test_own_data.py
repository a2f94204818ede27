"""What docs/data.md says about keeping own data with DVC, done as it is written there."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("dvc") is None, reason="runs `dvc`")


@pytest.fixture(scope="module")
def commands():
    """The two blocks of commands: for who adds the data, and for a colleague."""
    page = (ROOT / "docs" / "data.md").read_text()
    section = page[page.index("**Keep your own data with DVC**") :]
    return re.findall(r"```sh\n(.+?)```", section, flags=re.DOTALL)[:2]


def shell(folder, script):
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env={
            **os.environ,
            "DVC_NO_ANALYTICS": "1",
            **{f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER")
               for what in ("NAME", "EMAIL")},
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def cached(root):
    return sorted(path.name for path in root.glob(".dvc/cache/files/md5/*/*"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["faces", "faces/2026"])
def test_own_data_are_pushed_pulled_and_kept_by_gc(tmp_path, commands, name):
    mine, remote, clone = tmp_path / "mine", tmp_path / "remote", tmp_path / "clone"
    folder = mine / "data" / "own" / name
    folder.mkdir(parents=True)
    images = {f"{number}.png": bytes([number]) for number in range(3)}
    for file, content in images.items():
        (folder / file).write_bytes(content)
    (mine / ".dvc").mkdir()
    for file in (".gitignore", ".dvcignore", ".dvc/config"):
        shutil.copy(ROOT / file, mine / file)
    add, pull = (
        block.replace("/mnt/team/dvc", str(remote)).replace("data/own/faces", f"data/own/{name}")
        for block in commands
    )
    # Before it is added, git ignores the images.
    shell(mine, "git init -q -b main && git add . && git commit -qm begin")
    assert "own" not in shell(mine, "git ls-files")
    shell(mine, add)
    assert [line for line in shell(mine, "git ls-files").split() if "own" in line] == sorted(
        [f"data/own/{name}.dvc", f"{Path('data/own', name).parent}/.gitignore"]
    )
    shell(tmp_path, f"git clone -q {mine} {clone}")
    shell(clone, pull)
    arrived = {path.name: path.read_bytes() for path in (clone / "data" / "own" / name).iterdir()}
    assert arrived == images
    before = cached(mine)
    assert len(before) == len(images) + 1
    shell(mine, "dvc gc --workspace --force")
    assert cached(mine) == before
