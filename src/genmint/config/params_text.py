"""params.yaml as text: read with its byte order mark, and replaced only if nobody changed it."""

from __future__ import annotations

import codecs
import difflib
import stat
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
    """Replace the text of params.yaml, atomically; a link to the file and its mode stay.

    Raises:
        ConfigError: the file is no longer the one that was read, or is read-only; nothing is
            written.
    """
    if read_params_text(path) != before:
        raise ConfigError(f"{path}: was changed meanwhile; nothing was written. Run it again.")
    check_writable(path)
    target = path.resolve()
    mode = stat.S_IMODE(target.stat().st_mode)
    write_text(target, before.mark + after)
    target.chmod(mode)


def check_writable(path: Path) -> None:
    """Refuse a file that is marked as read-only, which replacing it would overwrite all the same.

    Raises:
        ConfigError: nobody may write it.
    """
    if path.exists() and not path.stat().st_mode & 0o222:
        raise ConfigError(
            f"{path}: is read-only; nothing was written. Make it writable (chmod u+w) and run it "
            "again."
        )


def as_diff(before: str, after: str) -> str:
    """Return the change of params.yaml as a unified diff."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), PARAMS, f"{PARAMS}, proposed", lineterm=""
    )
    return "\n".join(lines)
