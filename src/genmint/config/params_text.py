"""params.yaml as text: read with its byte order mark, and replaced only if nobody changed it."""

from __future__ import annotations

import codecs
import difflib
from dataclasses import dataclass
from pathlib import Path

from genmint.common.errors import ConfigError
from genmint.common.files import write_text
from genmint.common.layout import PARAMS
from genmint.common.reading import CONFIGURATION, decoded, read_bytes


@dataclass(frozen=True)
class ParamsText:
    """Content of params.yaml.

    Attributes:
        text: the text with its line endings, without byte order mark.
        mark: the byte order mark, or "".
    """

    text: str
    mark: str


def read_params_text(path: Path) -> ParamsText:
    """Read params.yaml or a recipe.

    Raises:
        ConfigError: it cannot be read, is too large or is not UTF-8.
    """
    data = read_bytes(path, CONFIGURATION.bytes, error=ConfigError)
    mark = "\ufeff" if data.startswith(codecs.BOM_UTF8) else ""
    return ParamsText(decoded(data, str(path), error=ConfigError), mark)


def write_params_text(path: Path, before: ParamsText, after: str) -> None:
    """Replace the text of params.yaml, atomically.

    Raises:
        ConfigError: the file is no longer the one that was read; nothing is written.
    """
    if read_params_text(path) != before:
        raise ConfigError(f"{path}: was changed meanwhile; nothing was written. Run it again.")
    write_text(path, before.mark + after)


def as_diff(before: str, after: str) -> str:
    """Return the change of params.yaml as a unified diff."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), PARAMS, f"{PARAMS}, proposed", lineterm=""
    )
    return "\n".join(lines)
