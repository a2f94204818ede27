"""dvc.lock: what each stage last read and wrote, by hash."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from genmint.errors import GenmintError

DATASET_STAGES = ("ingest", "validate", "prepare", "reference")
MODEL_STAGES = ("train", "evaluate", "gate")

# As DVC writes a stage: cmd, deps, params and outs; deps and outs are lists of path, hash and size.
Entries = dict[str, dict[str, Any]]


def read_lock(path: Path) -> Entries:
    """Read the stages of a dvc.lock by name; {} if there is none yet.

    Raises:
        GenmintError: it is not a lock file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise GenmintError(f"{path}: not a lock file of DVC ({error})") from None
    return parse_lock(text, str(path))


def parse_lock(text: str, where: str) -> Entries:
    """Read the stages of a dvc.lock from its text.

    Raises:
        GenmintError: it is not a lock file; the message begins with `where`.
    """
    try:
        content = _loaded(text)
    except YAMLError as error:
        reason = str(error).partition("\n")[0]
        raise GenmintError(f"{where}: not a lock file of DVC ({reason})") from None
    stages = content.get("stages") or {} if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not all(isinstance(e, dict) for e in stages.values()):
        raise GenmintError(f"{where}: not a lock file of DVC")
    return stages


@lru_cache(maxsize=2)
def _loaded(text: str) -> Any:
    """Nobody changes what this returns: a promotion of four models asks for it eight times."""
    return YAML(typ="safe", pure=True).load(text) or {}


def stages_of(name: str, dataset: str) -> list[str]:
    """Return the stages that a model rests on, in the order in which they run."""
    data = [f"{stage}@{dataset}" for stage in DATASET_STAGES]
    return [*data, *(f"{stage}@{name}" for stage in MODEL_STAGES)]
