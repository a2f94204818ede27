"""Pointers to content that lies elsewhere are never taken for the content."""

import subprocess
import sys

import pytest

from genmint.data.ingestion.pointers import keeper_of, missing_item

OID = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
LFS = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 12345\n"
KEY = f"SHA256E-s31390--{OID}.png"
DVC = "outs:\n- md5: 8c7dd922ad47494fc02c388e12c00eac\n  size: 3\n  hash: md5\n  path: {}\n"
DVC_FOLDER = DVC.replace("eac\n", "eac.dir\n")


@pytest.mark.parametrize(
    ("content", "keeper"),
    [
        (LFS, "Git LFS"),
        (LFS.replace("\n", "\r\n"), "Git LFS"),
        (LFS.rstrip(), "Git LFS"),
        (LFS.replace("oid", f"ext-0-foo sha256:{OID}\noid"), "Git LFS"),
        (LFS.replace("git-lfs.github.com", "hawser.github.com"), "Git LFS"),
        (f"/annex/objects/{KEY}\n", "git-annex"),
        (f"../../.git/annex/objects/F2/9x/{KEY}/{KEY}", "git-annex"),
        (f"A pointer of Git LFS looks like this:\n{LFS}", None),
        (f"{LFS}It has a size and a hash.", None),
        (LFS.replace(OID, "abc"), None),
        (f"/annex/objects/{KEY} is where git-annex keeps it.", None),
        (LFS + "\n" * 2000, None),
        ("", None),
        ("version 1.0\n", None),
    ],
)
def test_a_pointer_is_known_by_its_whole_content(tmp_path, content, keeper):
    path = tmp_path / "a.txt"
    path.write_bytes(content.encode())
    assert keeper_of(path) == keeper


@pytest.mark.parametrize(
    ("target", "keeper"),
    [
        (f"../.git/annex/objects/F2/9x/{KEY}/{KEY}", "git-annex"),
        ("/data/cache/files/md5/8c/7dd922ad47494fc02c388e12c00eac", "DVC"),
        ("/home/me/.dvc/cache/8c/7dd922ad47494fc02c388e12c00eac", "DVC"),
        ("gone.txt", None),
        ("/mnt/8c/photos", None),
    ],
)
def test_a_link_to_nothing_is_a_pointer_if_it_leads_into_a_store(tmp_path, target, keeper):
    (tmp_path / "a.txt").symlink_to(target)
    assert keeper_of(tmp_path / "a.txt") == keeper


def test_a_link_into_a_store_that_is_there_is_no_pointer(tmp_path):
    store = tmp_path / "annex" / "objects"
    store.mkdir(parents=True)
    (store / KEY).write_text("words")
    (tmp_path / "a.txt").symlink_to(store / KEY)
    assert keeper_of(tmp_path / "a.txt") is None


@pytest.mark.parametrize(
    ("name", "content", "item"),
    [
        ("cat.png.dvc", DVC.format("cat.png"), ("cat.png", "DVC")),
        ("cats.dvc", DVC_FOLDER.format("cats"), ("cats", "DVC")),
        ("labels.csv.dvc", DVC.format("labels.csv"), None),
        ("cat.png.dvc", "some words", None),
        (".cat.png.icloud", "bplist00", ("cat.png", "iCloud")),
        (".cat.pdf.icloud", "bplist00", None),
        (".dvc", DVC.format("x"), None),
        (".cat.png.dvc", DVC.format(".cat.png"), None),
        ("cat.png", "x", None),
    ],
)
def test_an_item_of_which_only_a_pointer_is_here_is_missing(tmp_path, name, content, item):
    (tmp_path / name).write_text(content)
    assert missing_item(tmp_path / name, (".png",)) == item


def test_an_item_beside_its_pointer_of_dvc_is_not_missing(tmp_path):
    """And what DVC itself writes is known."""
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=tmp_path,
                   check=True)  # fmt: skip
    (tmp_path / "cats").mkdir()
    for name in ("cat.png", "cats/1.png"):
        (tmp_path / name).write_text(name)
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "cat.png", "cats"], cwd=tmp_path,
                   check=True)  # fmt: skip
    for name in ("cat.png", "cats"):
        pointer = tmp_path / f"{name}.dvc"
        assert missing_item(pointer, (".png",)) is None
        (tmp_path / name).rename(tmp_path / "elsewhere")
        assert missing_item(pointer, (".png",)) == (name, "DVC")
        (tmp_path / "elsewhere").rename(tmp_path / name)
