"""Hash of the code that measures a model: values of other code are not compared with its own."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from genmint.files import sha256_file, sha256_json

_PACKAGE = Path(__file__).resolve().parents[1]
# What a metric of a model may depend on, below the package; `evaluate` in dvc.yaml has the same.
_SHARED = (
    "models/family.py",
    "models/blocks.py",
    "models/conditioning.py",
    "models/networks.py",
    "models/noise.py",
    "models/record.py",
    "models/store.py",
    "data/prepared.py",
    "data/spec.py",
    "data/views.py",
    "data/mulaw.py",
    "data/spectrogram.py",
    "data/binarise.py",
    "stages/evaluate.py",
    "config/models.py",
    "eager.py",
    "catalogue.py",
    "metrics",
    "training/history.py",
)


def measuring_code(family: str) -> tuple[str, ...]:
    """Files and folders of the package that a measurement of a model of `family` depends on."""
    return (f"models/{family}", *_SHARED)


@lru_cache
def code_sha256(family: str) -> str:
    """Hash of the source files that measure a model of `family` (vae, gan or rnn): 64 hex digits.

    Paths relative to the package and contents count, times and compiled files do not.
    """
    files = []
    for part in measuring_code(family):
        path = _PACKAGE / part
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return sha256_json({path.relative_to(_PACKAGE).as_posix(): sha256_file(path) for path in files})
