"""Hash of the code that measures a model; only values of the same code are compared."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from genmint.common.files import sha256_bytes, sha256_json, source_code

_PACKAGE = Path(__file__).resolve().parents[1]
# Paths below the package on which metrics of a model may depend. The dependencies of `evaluate` in
# dvc.yaml must be the same.
_SHARED = (
    "models/shared",
    "data/prepared.py",
    "data/views",
    "stages/evaluate.py",
    "evaluation",
    "metrics",
    "config/models",
    "config/metric_catalogue.py",
    "training/history.py",
)


def measuring_code(family: str) -> tuple[str, ...]:
    """Return the files and folders of the package that measure a model of `family`."""
    return (f"models/{family}", *_SHARED)


@lru_cache
def code_sha256(family: str) -> str:
    """Return the hash of the source files that measure a model of `family`: 64 hex digits.

    The hash covers relative paths and contents. Time stamps, compiled files and line endings do not
    change it.
    """
    files = []
    for part in measuring_code(family):
        path = _PACKAGE / part
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    hashes = {path: sha256_bytes(source_code(path)) for path in files}
    return sha256_json({path.relative_to(_PACKAGE).as_posix(): hashes[path] for path in files})
