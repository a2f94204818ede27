"""Model references on the command line: NAME, NAME@alias or NAME/version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from genmint.common.errors import ConfigError
from genmint.common.reading import shortened

# Names are at most as long as those of entries of params.yaml, so that they fit into a file name.
_FORM = re.compile(r"(?P<name>[a-z][a-z0-9-]{0,62})(?:@(?P<alias>[\w-]+)|/(?P<version>[0-9]+))?")


@dataclass(frozen=True)
class ModelRef:
    """A model with an alias or a version number; if both are None, the local model."""

    name: str
    alias: str | None = None
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse NAME, NAME@alias or NAME/version.

        Raises:
            ConfigError: `text` has another form.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ConfigError(f"{shortened(text)}: write NAME, NAME@alias or NAME/version")
        return cls(**match.groupdict())
