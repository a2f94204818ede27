"""From a folder of one's own to a champion, without a file edited by hand."""

import re
import shutil
import subprocess
from pydoc_data.topics import topics

import pytest
from tests.e2e.conftest import clone_of_the_project
from tests.proposal.own_files import clips, images

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(shutil.which("dvc") is None, reason="runs `dvc`"),
]


def documentation(path, characters):
    """A text that people wrote: that of Python's help(), as much as there is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(topics.values())[:characters], encoding="utf-8")
    return path


def commands_of(printed):
    """The commands that `genmint new` names."""
    return [line.split() for line in re.findall(r"^  ((?:dvc|genmint) .+)$", printed, re.MULTILINE)]


def champion(checkout, path, *options):
    """Do what `genmint new` says until a model is champion; return the names of the champions."""
    new = checkout.run("genmint", "new", str(path), "--yes", *options)
    repro, promote, sample = commands_of(new.stdout)
    assert repro[:2] == ["dvc", "repro"]
    checkout.run(*repro)
    promoted = checkout.run(*promote, ok=False)
    gates = checkout.run("genmint", "status", ok=False)
    names = [name for name in promote[2:] if f"{name}: promoted" in promoted.stdout]
    assert names, f"{promoted.stdout}\n{promoted.stderr}\n{gates.stdout}"
    if sample[2].partition("@")[0] in names:
        checkout.run(*sample)
        assert (checkout.root / sample[-1]).is_file()
    return names


# `make soak` has the others.
@pytest.mark.parametrize(
    "kind", ["image", *(pytest.param(kind, marks=pytest.mark.soak) for kind in ("audio", "text"))]
)
def test_a_small_folder_becomes_a_champion(tmp_path, kind):
    checkout = clone_of_the_project(tmp_path / "project")
    own = checkout.root / "data" / "own"
    if kind == "image":
        path = images(own / "pets", 120, shape=(12, 12, 3))
        options = ("--family", "rnn", "--minutes", "2")
    elif kind == "audio":
        path = clips(own / "tones", 80)
        options = ("--family", "gan", "--minutes", "2")
    else:
        path = documentation(own / "book.txt", 150_000)
        options = ("--minutes", "2")
    assert champion(checkout, path, *options)
    status = subprocess.run(
        ["git", "status", "--short"], cwd=checkout.root, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    assert " M params.yaml" in status


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["image", "audio", "text"])
def test_300_items_and_a_megabyte_become_champions_in_ten_minutes(tmp_path, kind):
    checkout = clone_of_the_project(tmp_path / "project")
    own = checkout.root / "data" / "own"
    if kind == "image":
        path = images(own / "pets", 300, shape=(32, 32, 3))
    elif kind == "audio":
        path = clips(own / "tones", 300)
    else:
        path = documentation(own / "book.txt", 1_000_000)
    assert champion(checkout, path)
