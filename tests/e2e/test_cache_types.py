"""Every way in which DVC links files into its cache (`cache.type`): all stages work with it."""

import hashlib
import os
import shutil

import pytest
from ruamel.yaml import YAML
from tests.e2e.conftest import ROOT, clone_of_the_project
from tests.e2e.test_invalidation import Real


def damaged(cache):
    """Files of a DVC cache that are not what their name says."""
    files = list((cache / "files" / "md5").glob("??/*"))
    assert files
    return [
        path
        for path in files
        if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        != f"{path.parent.name}{path.name.removesuffix('.dir')}"
    ]


def reduced(checkout, entries):
    """Leave one built-in data set of the project, and a folder of the user's own."""
    params = checkout.root / "params.yaml"
    document = YAML(typ="safe", pure=True).load(params)
    document["datasets"] = {"python-docs": document["datasets"]["python-docs"], **entries}
    document["models"] = {"text-rnn": document["models"]["text-rnn"] | {"steps": 20}}
    document["gates"] = {"text-rnn": document["gates"]["text-rnn"]}
    document.pop("drift", None)
    with params.open("w") as stream:
        YAML(typ="safe", pure=True).dump(document, stream)
    (checkout.root / "dvc.lock").unlink()


def test_a_built_in_set_can_be_prepared_where_outputs_are_links(tmp_path, monkeypatch):
    """The real stages in this process; each in one of its own is in `make soak`."""
    project = Real(tmp_path, monkeypatch)
    with (tmp_path / ".dvc" / "config").open("a") as stream:
        stream.write("[cache]\n    type = symlink\n")
    shutil.copytree(ROOT / "data/sources", tmp_path / "data/sources", dirs_exist_ok=True)
    entry = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["datasets"]["python-docs"]
    project.write({"datasets": {"python-docs": entry}, "models": {}, "gates": {}})
    ran = project.doing(lambda repo: repo.reproduce("prepare@python-docs"))
    assert ran == {f"{stage}@python-docs" for stage in ("ingest", "validate", "prepare")}
    documents = list((tmp_path / "data/raw/python-docs/documents").iterdir())
    assert documents
    assert all(path.is_symlink() for path in documents)
    assert (tmp_path / "data/prepared/python-docs/meta.json").is_symlink()
    assert damaged(tmp_path / ".dvc" / "cache") == []


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["symlink", "hardlink", "reflink,copy", "copy"])
@pytest.mark.parametrize("where", ["", "--local", "--global"])
def test_all_stages_work_with_every_kind_of_link_and_place_of_the_cache(tmp_path, kind, where):
    """Also a folder of the user's own that was added, and all stages once more by hand."""
    checkout = clone_of_the_project(tmp_path / "clone")
    entry = {"path": "data/own/texts", "kind": "text", "split": "hash"}
    reduced(checkout, {"texts": entry})
    # DVC's global configuration lies in the home folder, which is another here.
    env = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    if where:
        checkout.run("dvc", "cache", "dir", where, str(tmp_path / "cache"), **env)
    checkout.run("dvc", "config", "cache.type", kind, **env)
    folder = checkout.root / "data/own/texts"
    folder.mkdir(parents=True)
    for number in range(60):
        (folder / f"{number}.txt").write_text(
            " ".join(f"{number * word % 97}" for word in range(200))
        )
    checkout.run("dvc", "add", "data/own/texts", **env)
    assert (folder / "0.txt").is_symlink() == (kind == "symlink")
    checkout.run("dvc", "repro", "gate@text-rnn", "prepare@texts", **env)
    for verb, name in (("prepare", "texts"), ("evaluate", "text-rnn"), ("gate", "text-rnn")):
        checkout.run("python", "-m", "genmint", verb, name, **env,
                     PYTHONPATH=os.pathsep.join([str(checkout.root / "src")]))  # fmt: skip
    assert damaged(tmp_path / "cache" if where else checkout.root / ".dvc" / "cache") == []
