"""A folder: what becomes of each file, and that the flow's copy of it is read in the same way."""

import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from tests.awkward.folders import FOLDERS

from genmint.common.errors import DataError
from genmint.common.escaping import printable
from genmint.config import load_params
from genmint.data import manifest
from genmint.data.ingestion.content_store import content_stores
from genmint.data.ingestion.folder import NOT_COPIED, Folder
from genmint.flow.adoption import copy_source


@pytest.fixture
def made(data_project, tmp_path):
    """Makes an awkward folder at data/own/things; returns its case."""

    def make(name):
        (data_project.root / ".dvc").mkdir(exist_ok=True)
        (tmp_path / "outside").mkdir()
        case = FOLDERS[name]
        data_project.folder.parent.mkdir(parents=True, exist_ok=True)
        case.make(data_project.folder, tmp_path / "outside")
        data_project.block(**case.settings)
        return case

    return make


def rows_of(data_project):
    return pq.read_table(data_project.project.manifest("own")).to_pylist()


def ingested(data_project, case, capsys):
    """Ingest the folder; return what it said, without the place of the folder."""
    capsys.readouterr()
    if case.fails:
        with pytest.raises(DataError) as caught:
            data_project.ingest()
        return str(caught.value).replace(str(data_project.folder), "FOLDER")
    data_project.ingest()
    return capsys.readouterr().out


@pytest.mark.parametrize("name", FOLDERS)
def test_every_file_of_a_folder_is_an_item_or_refused_or_counted(made, data_project, capsys, name):
    case = made(name)
    said = ingested(data_project, case, capsys)
    for part in case.says:
        assert part in said
    if case.fails:
        return
    rows = rows_of(data_project)
    assert tuple(row["id"] for row in rows if row["error"] is None) == case.items
    refused = {row["id"]: row["error"] for row in rows if row["error"] is not None}
    assert refused.keys() == case.refused.keys()
    for item, reason in case.refused.items():
        assert reason in refused[item]
    counted = manifest.left_out(data_project.project.manifest("own"))
    assert sum(each.files for each in counted) == case.left_out
    shown = json.dumps(
        [*rows, *(each.as_json() for each in counted)], ensure_ascii=False, default=str
    )
    assert printable(shown) == shown
    assert printable(said) == said
    # Those that can be read can be loaded by the name that the manifest has.
    folder = Folder(data_project.folder, True, lambda: ())
    for item in case.items:
        assert folder.file(item).is_file()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_copy_is_read_as_the_folder_itself(made, data_project, capsys, tmp_path, name):
    case = made(name)
    said = ingested(data_project, case, capsys)
    table = None if case.fails else data_project.project.manifest("own").read_bytes()
    dataset = load_params(data_project.root / "params.yaml").datasets["own"]
    copy = tmp_path / "copy"
    copy_source(data_project.project, "own", dataset, copy)
    assert not any(path.is_symlink() for path in copy.rglob("*"))
    data_project.folder.rename(tmp_path / "original")
    copy.rename(data_project.folder)
    assert ingested(data_project, case, capsys) == said
    if table is not None:
        assert data_project.project.manifest("own").read_bytes() == table
        # A copy of the copy, as of a folder that a flow published.
        copy_source(data_project.project, "own", dataset, copy)
        note = data_project.folder / NOT_COPIED
        assert (copy / NOT_COPIED).exists() == note.exists()
        assert not note.exists() or (copy / NOT_COPIED).read_bytes() == note.read_bytes()


@pytest.mark.parametrize("name", [name for name, case in FOLDERS.items() if not case.fails])
def test_what_stops_dvc_is_known_beforehand(made, data_project, name):
    case = made(name)
    stores = content_stores(data_project.project, data_project.folder)
    stops = Folder(data_project.folder, False, stores).stops_dvc()
    assert bool(stops) == case.stops_dvc
    assert printable("".join(stops)) == "".join(stops)


def stops(root):
    """Whether `dvc repro` fails, or is still at it when all it has to do takes two seconds."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "dvc", "repro", "-q"],
            cwd=root, capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name, case in FOLDERS.items() if not case.fails])
def test_dvc_stops_where_it_is_said_to(made, data_project, name):
    """And records what the flow's copy holds."""
    case = made(name)
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q", "-f"]):
        subprocess.run(command, cwd=data_project.root, check=True)
    (data_project.root / "dvc.yaml").write_text(
        "stages: {x: {cmd: 'true', deps: [data/own/things]}}\n"
    )
    assert stops(data_project.root) == case.stops_dvc
    dataset = load_params(data_project.root / "params.yaml").datasets["own"]
    copy = data_project.root / "copy"
    copy_source(data_project.project, "own", dataset, copy)
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "copy"], cwd=data_project.root,
                   check=True)  # fmt: skip


def test_links_into_the_cache_of_dvc_are_read_wherever_it_lies(data_project, tmp_path):
    """Set by `dvc cache dir --local`, and of the repository that the folder lies in."""
    shared, other = tmp_path / "shared", tmp_path / "other"
    subprocess.run(["git", "init", "-q"], cwd=data_project.root, check=True)
    (data_project.root / ".dvc").mkdir()
    (data_project.root / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {shared}\n")
    (other / ".dvc" / "cache").mkdir(parents=True)
    shared.mkdir()
    for number, store in enumerate((shared, other / ".dvc" / "cache")):
        (store / "content").write_text(f"Words of store {number}.")
        place = (data_project.folder, other / "texts")[number]
        place.mkdir(parents=True)
        for link in range(2):
            (place / f"{number}{link}.txt").symlink_to(store / "content")
        data_project.block(kind="text", path=str(place))
        data_project.ingest()
        assert [row["error"] for row in rows_of(data_project)] == [None, None]


def test_a_folder_that_cannot_be_listed_is_named(data_project, monkeypatch):
    data_project.texts(1)
    data_project.block(kind="text")
    (data_project.folder / "closed").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"closed.*cannot be listed: Permission denied"):
        data_project.ingest()


@pytest.mark.parametrize("text", ["[]", "{", '{"a.txt": "x"}', "\udcff"])
def test_a_damaged_note_on_a_copy_is_named(data_project, text):
    data_project.texts(1)
    data_project.block(kind="text")
    note = data_project.folder / NOT_COPIED
    note.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"genmint-not-copied\.json: .*(not a record|cannot be)"):
        data_project.ingest()
