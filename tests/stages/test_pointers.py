"""A source of which items are not here is refused by every reader of it, in one line."""

import json

import numpy as np
import pytest
import soundfile
from PIL import Image
from tests.data.ingestion.test_pointers import DVC, KEY, LFS

from genmint.common.errors import DataError
from genmint.config import load_params
from genmint.data import manifest
from genmint.flow.adoption import copy_source

KINDS = {
    "text": (".txt", {"kind": "text"}),
    "image": (".png", {"kind": "image", "resolution": 8}),
    "audio": (".wav", {"kind": "audio", "sample_rate": 8000, "seconds": 0.25}),
}


def items(data_project, count, ending):
    for number in range(count):
        path = data_project.write(f"{number:03d}{ending}")
        noise = np.random.default_rng(number).integers(0, 256, (12, 12), dtype=np.uint8)
        if ending == ".png":
            Image.fromarray(noise).save(path)
        elif ending == ".wav":
            soundfile.write(path, np.tile(noise.ravel() / 256, 20), 8000)
        else:
            path.write_text(f"Words of document {number}.")


def refused(data_project):
    """The message with which each road refuses the source: ingest, and a flow's copy."""
    with pytest.raises(DataError) as caught:
        data_project.ingest()
    assert not data_project.project.manifest("own").exists()
    dataset = load_params(data_project.root / "params.yaml").datasets["own"]
    copy = data_project.root / "copy"
    with pytest.raises(DataError) as copied:
        copy_source(data_project.project, "own", dataset, copy)
    assert not copy.exists()
    assert str(copied.value) == str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_pointers_of_git_lfs_are_refused_by_every_reader(data_project, kind):
    ending, settings = KINDS[kind]
    items(data_project, 3, ending)
    for number in range(150):
        data_project.write(f"lfs-{number:03d}{ending}").write_text(LFS.replace("345", f"{number}"))
    data_project.block(**settings)
    message = refused(data_project)
    assert message == (
        f"{data_project.folder}: 150 {kind} files are not here, only pointers of Git LFS to them; "
        f"the first is lfs-000{ending}. Run `git lfs pull` in {data_project.folder}."
    )


def test_items_that_became_pointers_after_ingest_are_refused_by_prepare(data_project):
    items(data_project, 60, ".png")
    data_project.block(kind="image", resolution=8)
    data_project.ingest()
    data_project.admit()
    data_project.write("007.png").write_text(LFS)
    with pytest.raises(DataError, match="1 image files are not here, only pointers of Git LFS"):
        data_project.prepare()


def test_a_single_file_that_is_a_pointer_is_refused(data_project):
    data_project.write("book.txt").write_text(LFS)
    data_project.block(kind="text", split="position", path="data/own/things/book.txt")
    assert "the first is book.txt. Run `git lfs pull`" in refused(data_project)


def test_links_of_git_annex_and_of_dvc_to_nothing_are_refused(data_project):
    items(data_project, 3, ".txt")
    data_project.write("a.txt").symlink_to(f"../../../.git/annex/objects/F2/{KEY}/{KEY}")
    cache = data_project.root / ".dvc/cache/files/md5/8c"
    data_project.write("b.txt").symlink_to(cache / "7dd922ad47494fc02c388e12c00eac")
    data_project.block(kind="text")
    message = refused(data_project)
    assert "1 text files are not here, only pointers of git-annex to them; the first is a.txt. " \
           "Run `git annex get .`" in message  # fmt: skip
    assert "pointers of DVC to them; the first is b.txt. Run `dvc pull`" in message


def test_what_git_annex_brought_is_read(data_project):
    """A link into its store is as good as a file, as one into DVC's cache."""
    items(data_project, 3, ".txt")
    store = data_project.root / ".git/annex/objects/F2" / KEY
    data_project.write("a.txt").symlink_to(f"../../../.git/annex/objects/F2/{KEY}/{KEY}")
    data_project.block(kind="text")
    assert "Run `git annex get .`" in refused(data_project)
    store.mkdir(parents=True)
    (store / KEY).write_text("Words that git-annex brought.")
    data_project.ingest()
    rows = manifest.read(data_project.project.manifest("own"), ["id", "error"]).to_pylist()
    assert [row for row in rows if row["error"]] == []
    assert rows[-1]["id"] == "a.txt"


def test_pointers_of_dvc_without_their_item_are_refused(data_project, capsys):
    items(data_project, 3, ".txt")
    data_project.write("sub/far.txt.dvc").write_text(DVC.format("far.txt"))
    data_project.write("labels.csv.dvc").write_text(DVC.format("labels.csv"))
    data_project.write(".old/gone.txt.dvc").write_text(DVC.format("gone.txt"))
    data_project.block(kind="text")
    message = refused(data_project)
    assert "1 text files are not here, only pointers of DVC to them; the first is sub/far.txt. " \
           "Run `dvc pull`" in message  # fmt: skip
    data_project.write("sub/far.txt").write_text("Words that came from a remote.")
    data_project.ingest()
    assert "own: 4 items; 3 files were left out: 2 .dvc, 1 hidden .dvc" in capsys.readouterr().out


def test_files_that_icloud_moved_away_are_refused(data_project):
    items(data_project, 3, ".txt")
    data_project.write(".b.txt.icloud").write_bytes(b"bplist00")
    data_project.block(kind="text")
    assert "the first is b.txt. Run `brctl download .`" in refused(data_project)


def test_a_source_that_dvc_keeps_and_that_is_not_here_names_dvc_pull(data_project):
    data_project.folder.parent.mkdir(parents=True)
    data_project.folder.with_name("things.dvc").write_text(DVC.format("things"))
    data_project.block(kind="text")
    with pytest.raises(DataError, match=r"DVC keeps it\. Run `dvc pull data/own/things`"):
        data_project.ingest()
    data_project.folder.symlink_to(".git/annex/objects/x")
    with pytest.raises(DataError, match=r"broken symbolic link\. Run `git annex get \.` in"):
        data_project.ingest()


def test_thumbnails_are_in_no_split(data_project):
    """60 images were 120, the copies in other splits."""
    items(data_project, 60, ".png")
    for number in range(60):
        name = f"{number:03d}.png"
        with Image.open(data_project.folder / name) as image:
            image.resize((9, 9)).save(data_project.write(f"@eaDir/{name}/SYNOPHOTO_THUMB_M.png"))
    data_project.block(kind="image", resolution=8, labels="none")
    data_project.run()
    meta = json.loads((data_project.project.prepared("own") / "meta.json").read_text())
    assert sum(meta["items"].values()) == 60
