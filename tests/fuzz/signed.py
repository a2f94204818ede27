"""What others may edit: the journal in MLflow, signatures; and the secrets of one user."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

from mlflow.entities.model_registry import ModelVersion, ModelVersionTag
from tests.fuzz.target import Target
from tests.workshop import Workshop

from genmint.common.login import VARIABLE, read_login
from genmint.common.project_key import create_key, key_file, load_key
from genmint.common.tags import SIGNATURE_TAG
from genmint.registry.entries import entries
from genmint.registry.journal_entries import (
    as_objects,
    before,
    last_valid,
    line,
    previous,
    rolled_back,
)
from genmint.registry.signature import Signed, folder_of, read, signature_problem


def journals() -> list[Target]:
    """The journal of a model."""
    return [Target("journal", [json.dumps(_JOURNAL).encode()], _journal, 8)]


def secrets(folder: Path) -> list[Target]:
    """The key, what is signed with it, and the login: one user's file, tag and variable."""
    project = Workshop(folder).project
    key = create_key(project)
    path = key_file(project)
    hashes = {"metrics/own.json": "d" * 64}
    signed = Signed("a" * 64, "b" * 64, "c" * 64, "e" * 64, "evaluation", hashes)

    def tag(data: bytes) -> None:
        tags = {SIGNATURE_TAG: data.decode(errors="replace")}
        assert folder_of(tags) or read(tags) is not None
        # Whatever was changed of what is signed, no signature holds that was not made for it.
        if signature_problem(key, "own", "a" * 64, tags) is None:
            assert read(tags)[0] == signed

    def login(data: bytes) -> None:
        # No variable of the environment holds a zero byte.
        os.environ[VARIABLE] = data.decode(errors="surrogateescape").replace("\0", "")
        try:
            read_login()
        finally:
            del os.environ[VARIABLE]

    def private(data: bytes) -> None:
        path.write_bytes(data)
        path.chmod(0o600)
        load_key(project)

    return [
        Target("signature", [signed.tag(key, "own").encode()], tag, 8),
        Target("key", [path.read_bytes()], private, 2),
        Target("login", [b"ann:a password of hers", "änn:pass:wort:wort".encode()], login, 2),
    ]


_TAGS = {
    "genmint.kind": "promotion", "genmint.user": "ann", "genmint.weights": "a" * 64,
    "genmint.grounds": "b" * 64, "genmint.time": "2026-01-31T23:59:59Z", "genmint.settled": "1",
}  # fmt: skip
_JOURNAL = [
    {"version": 1, "tags": _TAGS | {"genmint.claims": "1", "genmint.version": "1"}},
    {
        "version": 2, "description": "was better",
        "tags": _TAGS | {"genmint.claims": "2", "genmint.version": "2", "genmint.previous": "1"},
    },
    {
        "version": 3, "description": "went back",
        "tags": _TAGS | {
            "genmint.kind": "rollback", "genmint.claims": "3", "genmint.version": "1",
            "genmint.left": "2", "genmint.left_weights": "c" * 64,
        },
    },
]  # fmt: skip


class _Page(list):
    token = None


def _journal(data: bytes) -> None:
    """Entries whose tags and descriptions anybody may have edited in MLflow."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    page = _Page()
    for number, row in enumerate(document if isinstance(document, list) else (), start=1):
        row = row if isinstance(row, dict) else {}
        tags = row.get("tags")
        # MLflow keeps tags as text, and gives each version its number.
        tags = tags.items() if isinstance(tags, dict) else ()
        tags = [ModelVersionTag(str(key), str(value)) for key, value in tags]
        description = str(row.get("description", ""))
        page.append(ModelVersion("own.journal", number, 0, description=description, tags=tags))
    client = SimpleNamespace(
        search_model_versions=lambda *_, **__: page, search_registered_models=lambda *_, **__: [1],
        get_registered_model=lambda *_: None,
    )  # fmt: skip
    found = entries(client, "own")
    line(found)
    as_objects(found, {"1": "a" * 64})
    rolled_back(found, "c" * 64)
    last = last_valid(found)
    if last is not None:
        previous(found, last)
        before(found, last)
