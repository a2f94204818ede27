"""What docs/data.md says about keeping own data with DVC, done as it is written there."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("dvc") is None, reason="runs `dvc`")


@pytest.fixture(scope="module")
def commands():
    """The blocks of commands: for who adds the data, for a colleague, and for an experiment."""
    page = (ROOT / "docs" / "data.md").read_text()
    section = page[page.index("**Keep your own data with DVC**") :]
    return re.findall(r"```sh\n(.+?)```", section, flags=re.DOTALL)[:3]


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
        for block in commands[:2]
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


STAGES = """\
stages:
  copy:
    cmd: cp data/own/faces/0.png out
    params: [number]
    deps: [data/own/faces]
    outs: [out]
"""


@pytest.mark.soak
@pytest.mark.parametrize("how", ["--temp", "--queue"])
@pytest.mark.parametrize("added", [True, False])
def test_experiments_in_a_copy_have_own_data(tmp_path, commands, how, added):
    mine = tmp_path / "mine"
    folder = mine / "data" / "own" / "faces"
    folder.mkdir(parents=True)
    (folder / "0.png").write_bytes(b"0")
    (mine / ".dvc").mkdir()
    for file in (".gitignore", ".dvcignore", ".dvc/config"):
        shutil.copy(ROOT / file, mine / file)
    (mine / "dvc.yaml").write_text(STAGES)
    (mine / "params.yaml").write_text("number: 1\n")
    shell(mine, "git init -q -b main && git add . && git commit -qm begin")
    if added:
        shell(mine, "dvc add data/own/faces && git add . && git commit -qm faces")
    command = commands[2].strip()
    if added:
        command = command.replace(" --copy-paths data/own/faces", "")
    command = f"{command.replace('--temp', how)} -S number=2 --name second"
    shell(mine, command)
    if how == "--queue":
        # The queue's worker needs seconds to start.
        shell(mine, "dvc queue start; until dvc queue status | grep -Eq 'Success|Failed'; do "
                    "sleep 0.5; done")  # fmt: skip
    assert shell(mine, "dvc exp list --name-only").split() == ["second"]
