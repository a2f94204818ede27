"""How people name a model on the command line: NAME, NAME@alias or NAME/version."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from genmint.errors import ConfigError

_FORM = re.compile(r"(?P<name>[a-z][a-z0-9-]*)(?:@(?P<alias>[\w-]+)|/(?P<version>[0-9]+))?")


@dataclass(frozen=True)
class Target:
    """A model, and which version of it: by alias, by number, or (both None) left open."""

    name: str
    alias: str | None = None
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read NAME, NAME@alias or NAME/version.

        Raises:
            ConfigError: `text` has another form.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise ConfigError(f"{text!r}: write NAME, NAME@alias or NAME/version")
        return cls(**found.groupdict())
