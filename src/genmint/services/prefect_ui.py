"""Copy of Prefect's pages that makes no request to another host.

Prefect's new pages (`/v2`) ask a host of Amplitude for settings on every load, also if analytics
are off: they start its client before they read that setting (seen in 3.8.8). Without a key they do
not start it. Prefect serves a folder of files, PREFECT_UI_STATIC_DIRECTORY, so it gets a copy in
which the key is empty.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from importlib.metadata import version
from pathlib import Path

from genmint.common.files import atomic_dir

# As in Prefect's `create_ui_app`: place of the pages, and the file that names their version.
_BASE = "/v2"
_PLACEHOLDER = b"/PREFECT_UI_SERVE_BASE_REPLACE_PLACEHOLDER"
_REFERENCE = "UI_SERVE_BASE"
_KEY = re.compile(rb"return([`\"'])[0-9a-f]{32}\1")
_TEXT = (".css", ".html", ".js", ".json", ".map", ".txt")


def copy_pages(folder: Path) -> None:
    """Copy the new pages to `folder`/v2, unless those of this version of Prefect are there.

    Prefect adds its former pages to the folder by itself; they make no such request.
    """
    target = folder / "v2"
    content = f"v2:{version('prefect')}:{_BASE}"
    reference = target / _REFERENCE
    spec = importlib.util.find_spec("prefect")
    if spec is None or spec.origin is None:
        return
    source = Path(spec.origin).parent / "server" / "ui-v2"
    if not source.is_dir() or (reference.exists() and reference.read_text("utf-8") == content):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_dir(target) as copy:
        shutil.copytree(source, copy, dirs_exist_ok=True)
        for path in copy.rglob("*"):
            if path.suffix in _TEXT:
                path.write_bytes(without_key(path.read_bytes()))
        (copy / _REFERENCE).write_text(content, encoding="utf-8")


def without_key(text: bytes) -> bytes:
    """Return a file of the pages for its place at /v2, without the key of the analytics."""
    text = text.replace(_PLACEHOLDER, _BASE.encode())
    return _KEY.sub(rb"return\1\1", text) if b"amplitude" in text else text
