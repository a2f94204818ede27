"""Folders as people have them, each with what must become of every file in it.

A folder is made at a path, beside an empty folder `outside` to which links may lead. Files are
texts unless `settings` say otherwise.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

TEXT = "Ordinary words of an ordinary document, number {}.\n"
OUT = "symbolic link that leads out of the folder"
LINKED_FOLDER = "symbolic link to a folder"
DANGLING = "broken symbolic link"
NAME = "name is not UTF-8"
PIPE = "named pipe (FIFO)"


@dataclass(frozen=True)
class Awkward:
    """A folder.

    Attributes:
        make: fills it; is given its path and that of `outside`.
        items: identities of the items that can be read.
        refused: identity → part of the reason, of the items that cannot be read.
        left_out: number of files that are no items.
        says: parts of what ingest prints, or of its error.
        fails: whether ingest fails.
        settings: keys of the data set.
        stops_dvc: whether DVC itself stops at the folder.
    """

    make: Callable[[Path, Path], None]
    items: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    left_out: int = 0
    says: tuple[str, ...] = ()
    fails: bool = False
    settings: dict[str, Any] = field(default_factory=lambda: {"kind": "text"})
    stops_dvc: bool = False


def write(path: Path, number: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TEXT.format(f"{number} at {path.name!a}"))
    return path


def texts(*names: str) -> Callable[[Path, Path], None]:
    """Files of these names, with distinct texts; what ends with a slash is an empty folder."""

    def make(folder: Path, _: Path) -> None:
        for number, name in enumerate(names):
            write(folder / name, number)

    return make


def image(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def linked(target: str, name: str = "link.txt") -> Callable[[Path, Path], None]:
    """`a.txt`, and a link; `{outside}` stands for the folder outside, which holds secret.txt."""

    def make(folder: Path, outside: Path) -> None:
        write(folder / "a.txt")
        write(outside / "secret.txt", 7)
        (folder / name).symlink_to(target.format(outside=outside, folder=folder))

    return make


def chain(folder: Path, outside: Path) -> None:
    write(folder / "a.txt")
    write(outside / "secret.txt", 7)
    (folder / "in.txt").symlink_to("hop.txt")
    (folder / "hop.txt").symlink_to("a.txt")
    (folder / "out.txt").symlink_to("door.txt")
    (folder / "door.txt").symlink_to(outside / "secret.txt")


def circle(folder: Path, _: Path) -> None:
    write(folder / "a.txt")
    (folder / "b.txt").symlink_to("c.txt")
    (folder / "c.txt").symlink_to("b.txt")
    (folder / "self.txt").symlink_to("self.txt")


def empty(folder: Path, _: Path) -> None:
    (folder / "nothing" / "inside").mkdir(parents=True)


def empty_files(folder: Path, _: Path) -> None:
    for name in ("a.txt", "b.txt"):
        write(folder / name).write_bytes(b"")


def deep(folder: Path, _: Path) -> None:
    write(folder / "/".join("d" * 200) / "a.txt")


def not_utf8(folder: Path, _: Path) -> None:
    write(folder / "a.txt")
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("x")


def folder_not_utf8(folder: Path, _: Path) -> None:
    write(folder / "a.txt")
    write(folder / os.fsdecode(b"\xff\xfe") / "b.txt")
    write(folder / os.fsdecode(b"\xff\xfe") / "c.pdf")


def pipes_of_any_ending(folder: Path, outside: Path) -> None:
    """One is hidden: genmint leaves it out, and DVC waits for it all the same."""
    write(folder / "a.txt")
    (folder / "sub").mkdir()
    for path in ("control", "sub/feed.pdf", ".hidden"):
        os.mkfifo(folder / path)
    os.mkfifo(outside / "far")
    (folder / "link").symlink_to(outside / "far")


def special_files(folder: Path, _: Path) -> None:
    write(folder / "a.txt")
    os.mkfifo(folder / "pipe.txt")
    here = Path.cwd()
    os.chdir(folder)  # the address of a socket may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket.txt")
    finally:
        os.chdir(here)


def photos(folder: Path, _: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(3):
        image(folder / f"{number}.png", number)
    for number in range(7):
        (folder / f"{number}.HEIC").write_bytes(bytes([number]))
    for name in ("clip.mov", "song.wav", "Thumbs.db", "readme"):
        (folder / name).write_bytes(b"x")


def with_thumbnails(folder: Path, _: Path) -> None:
    """As network storage, macOS, Windows and Jupyter leave a folder of images."""
    folder.mkdir(parents=True)
    for number in range(3):
        image(folder / f"{number}.png", number)
        for made in (f"@eaDir/{number}.png/SYNOPHOTO_THUMB_M.png", f"sub/@EADIR/{number}.png",
                     f".thumbnails/{number}.png", f"__MACOSX/._{number}.png", f"._{number}.png",
                     f"$RECYCLE.BIN/{number}.png", f".ipynb_checkpoints/{number}.png"):  # fmt: skip
            (folder / made).parent.mkdir(parents=True, exist_ok=True)
            image(folder / made, 100 + number)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "Icon\r"):
        (folder / name).write_bytes(b"x")


def only_photos_of_a_phone(folder: Path, _: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(5):
        (folder / f"IMG_{number}.heic").write_bytes(bytes([number]))


def many_endings(folder: Path, _: Path) -> None:
    write(folder / "a.txt")
    for number in range(40):
        write(folder / f"part.{number:03d}")


def no_rights(folder: Path, _: Path) -> None:
    write(folder / "a.txt")
    write(folder / "locked.txt", 1).chmod(0)


def into_the_cache(folder: Path, _: Path) -> None:
    """As `dvc checkout` leaves a folder with cache.type symlink; the cache is the project's."""
    write(folder / "a.txt")
    store = folder.parents[2] / ".dvc" / "cache" / "files" / "md5" / "ab"
    content = write(store / "cdef", 5)
    (folder / "b.txt").symlink_to(content)
    (folder / "sub").mkdir()
    (folder / "sub" / "c.txt").symlink_to(write(store / "0123", 6))


def labelled(folder: Path, _: Path) -> None:
    for label in ("\x1b[31mred", "back\\slash", "plain"):
        write(folder / label / "a.txt")


ROOT_USER = os.geteuid() == 0
LONGEST = f"{'n' * 251}.txt"

FOLDERS: dict[str, Awkward] = {
    "empty": Awkward(empty, fails=True, says=("no text files in this folder",)),
    "empty files": Awkward(
        empty_files, fails=True, says=("none of 2 items can be read", "empty file (0 bytes)")
    ),
    "deep": Awkward(deep, items=("/".join("d" * 200) + "/a.txt",)),
    "link inside": Awkward(linked("a.txt"), items=("a.txt", "link.txt")),
    "absolute link inside": Awkward(linked("{folder}/a.txt"), items=("a.txt", "link.txt")),
    "link out": Awkward(
        linked("{outside}/secret.txt"), items=("a.txt",), refused={"link.txt": OUT}
    ),
    "relative link out": Awkward(
        linked("../../../../outside/secret.txt"), items=("a.txt",), refused={"link.txt": OUT}
    ),
    "link out, followed": Awkward(
        linked("{outside}/secret.txt"),
        items=("a.txt", "link.txt"),
        settings={"kind": "text", "follow_links": True},
    ),
    "link to a folder": Awkward(
        linked("{outside}", "sub"), items=("a.txt",), refused={"sub": LINKED_FOLDER}
    ),
    "link to a folder, not followed either": Awkward(
        linked("{outside}", "sub"),
        items=("a.txt",),
        refused={"sub": LINKED_FOLDER},
        settings={"kind": "text", "follow_links": True},
    ),
    "link to the folder above": Awkward(
        linked("..", "sub"), items=("a.txt",), refused={"sub": LINKED_FOLDER}
    ),
    "link to a device": Awkward(
        linked("/dev/zero"),
        items=("a.txt",),
        refused={"link.txt": "symbolic link to a device file, not a regular file"},
        stops_dvc=True,
    ),
    "chain of links": Awkward(
        chain,
        items=("a.txt", "hop.txt", "in.txt"),
        refused={"door.txt": OUT, "out.txt": OUT},
    ),
    "links in a circle": Awkward(
        circle,
        items=("a.txt",),
        refused=dict.fromkeys(("b.txt", "c.txt", "self.txt"), DANGLING),
        stops_dvc=True,
    ),
    "link to nothing": Awkward(
        linked("gone.txt"), items=("a.txt",), refused={"link.txt": DANGLING}, stops_dvc=True
    ),
    "link to nothing of another ending": Awkward(
        linked("gone.pdf", "link.pdf"),
        items=("a.txt",),
        left_out=1,
        says=("1 file was left out: 1 .pdf (convert to txt (UTF-8))",),
        stops_dvc=True,
    ),
    "links into DVC's cache": Awkward(into_the_cache, items=("a.txt", "b.txt", "sub/c.txt")),
    "name not UTF-8": Awkward(
        not_utf8, items=("a.txt",), refused={"caf\\xe9.txt": NAME}, stops_dvc=True
    ),
    "folder not UTF-8": Awkward(
        folder_not_utf8,
        items=("a.txt",),
        refused={"\\xff\\xfe/b.txt": NAME},
        left_out=1,
        stops_dvc=True,
    ),
    "escape sequences": Awkward(
        texts("\x1b[31mred\x1b[0m.txt", "\x07bell.txt", "\x9b2J.txt"),
        items=("\\u009b2J.txt", "\\x07bell.txt", "\\x1b[31mred\\x1b[0m.txt"),
    ),
    "line ends": Awkward(
        texts("a\nb.txt", "a\rb.txt", "a\tb.txt", "a\u2028b.txt"),
        items=("a\\u2028b.txt", "a\\x09b.txt", "a\\x0ab.txt", "a\\x0db.txt"),
    ),
    "direction of writing": Awkward(texts("\u202etxt.txt"), items=("\\u202etxt.txt",)),
    "backslashes": Awkward(
        texts("a\\x41.txt", "aA.txt", "a\\.txt"),
        items=("aA.txt", "a\\\\.txt", "a\\\\x41.txt"),
    ),
    "markup": Awkward(
        texts("=1+1.txt", "<script>.txt", "a,b;c.txt", 'q"uote.txt', "a|b*?[x].txt", "a b #%.txt"),
        items=(
            *("<script>.txt", "=1+1.txt", "a b #%.txt", "a,b;c.txt", "a|b*?[x].txt"),
            'q"uote.txt',
        ),
    ),
    "hidden": Awkward(
        texts("a.txt", ".b.txt", ".cache/c.txt", "sub/.d.txt", ".DS_Store", ".txt"),
        items=("a.txt",),
        left_out=5,
        says=("5 files were left out", "3 hidden .txt", "take the dot off"),
    ),
    "only hidden": Awkward(texts(".a.txt"), fails=True, says=("no text files", "1 hidden .txt")),
    "case": Awkward(
        texts("A.TXT", "a.txt", "b.Txt", "C.MD"), items=("A.TXT", "C.MD", "a.txt", "b.Txt")
    ),
    "two forms of one letter": Awkward(
        texts("caf\u00e9.txt", "cafe\u0301.txt"), items=("cafe\u0301.txt", "caf\u00e9.txt")
    ),
    "long name": Awkward(texts("a.txt", LONGEST), items=("a.txt", LONGEST)),
    "special files": Awkward(
        special_files,
        items=("a.txt",),
        refused={
            "pipe.txt": "named pipe (FIFO), not a regular file",
            "socket.txt": "socket, not a regular file",
        },
        stops_dvc=True,
    ),
    "pipes of any ending": Awkward(
        pipes_of_any_ending,
        items=("a.txt",),
        refused={
            "control": PIPE,
            "link": f"symbolic link to a {PIPE}",
            "sub/feed.pdf": f"{PIPE}, not a regular file: DVC waits for it forever; remove it",
        },
        left_out=1,
        says=("1 file was left out: 1 hidden",),
        stops_dvc=True,
    ),
    "folder called like a file": Awkward(
        texts("notes.txt/a.txt", "b.txt"), items=("b.txt", "notes.txt/a.txt")
    ),
    "dots and blanks": Awkward(
        texts("a .txt", " b.txt", "c..txt", "txt", "d.", "e.txt "),
        items=(" b.txt", "a .txt", "c..txt"),
        left_out=3,
        says=("2 without ending", "1 .txt "),
    ),
    "left by other programs": Awkward(
        texts("a.txt", "a.txt~", "a.txt.bak", "Thumbs.db", "desktop.ini", "a.old", ".gitignore"),
        items=("a.txt",),
        left_out=6,
        says=("1 .txt~", "1 hidden without ending"),
    ),
    "thumbnails beside images": Awkward(
        with_thumbnails,
        items=("0.png", "1.png", "2.png"),
        left_out=25,
        says=(
            "25 files were left out: 6 in @eaDir (thumbnails and previews of storage or viewers)",
            *("3 in $RECYCLE.BIN (deleted files)", "3 in .ipynb_checkpoints (copies that Jupyter"),
            *("3 in .thumbnails (", "3 in __MACOSX (attributes", "3 ._* (attributes"),
            *("1 Thumbs.db (thumbnails)", "1 desktop.ini (", "1 .DS_Store (", "1 Icon\\x0d ("),
        ),
        settings={"kind": "image", "resolution": 8},
    ),
    "photos of a phone": Awkward(
        photos,
        items=("0.png", "1.png", "2.png"),
        left_out=11,
        says=(
            "11 files were left out: 7 .heic (convert to png or jpg)",
            "1 .mov (extract single frames as png or jpg)",
            "1 .wav (files of kind: audio; give them a data set of their own)",
        ),
        settings={"kind": "image", "resolution": 8},
    ),
    "only photos of a phone": Awkward(
        only_photos_of_a_phone,
        fails=True,
        says=("no image files in this folder", "5 .heic (convert to png or jpg)"),
        settings={"kind": "image", "resolution": 8},
    ),
    "sound that nobody reads": Awkward(
        texts("a.mp3", "b.m4a", "c.ogg", "d.txt"),
        fails=True,
        says=("no audio files", "1 .mp3 (convert to flac or wav)", "1 .txt (files of kind: text"),
        settings={"kind": "audio", "sample_rate": 8000, "seconds": 0.5},
    ),
    "documents": Awkward(
        texts("a.txt", "b.docx", "c.pdf", "d.zip", "e.csv"),
        items=("a.txt",),
        left_out=4,
        says=("1 .docx (convert to txt (UTF-8))", "1 .zip (unpack", "1 .csv (export each item"),
    ),
    "many endings": Awkward(
        many_endings, items=("a.txt",), left_out=40, says=("28 with other endings",)
    ),
    "no right to read": Awkward(
        no_rights,
        items=("a.txt", "locked.txt") if ROOT_USER else ("a.txt",),
        refused={} if ROOT_USER else {"locked.txt": "cannot be opened: Permission denied"},
    ),
    "labels": Awkward(
        labelled,
        items=("\\x1b[31mred/a.txt", "back\\\\slash/a.txt", "plain/a.txt"),
        settings={"kind": "text", "labels": "folder"},
    ),
}
