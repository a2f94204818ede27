"""Signing key of a project; genmint signs what it writes to a registry.

A registry is open to anyone who reaches its port, and the key is not stored in it. A version,
journal entry or confirmation that others wrote or changed has no valid signature (HMAC-SHA-256, RFC
2104) and does not count.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genmint.common.errors import ConfigError
from genmint.common.files import create_private
from genmint.common.project import Project

VARIABLE = "GENMINT_SIGNING_KEY"

_BYTES = 32
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_MAKE_ONE = "Make one with `openssl rand -hex 32`."
_ID_LENGTH = 12


@dataclass(frozen=True)
class SigningKey:
    """A secret of 32 bytes, shared by the machines that promote.

    Attributes:
        secret: the secret, never shown.
        source: origin of the key: a variable or a file.
    """

    secret: bytes = field(repr=False)
    source: str

    @property
    def id(self) -> str:
        """Identifier of the key, which does not reveal the secret."""
        return hashlib.sha256(b"genmint signing key" + self.secret).hexdigest()[:_ID_LENGTH]

    def sign(self, what: str, content: Mapping[str, Any]) -> str:
        """Sign a JSON value.

        Args:
            what: kind of value, so that a signature is not valid for another kind.
            content: value to sign, as JSON.

        Returns:
            Key id and signature, `ID:HEX`.
        """
        text = json.dumps([what, dict(content)], sort_keys=True, ensure_ascii=False)
        return f"{self.id}:{hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()}"

    def problem(self, what: str, content: Mapping[str, Any], signature: str) -> str | None:
        """Return why a signature is invalid, None if it is valid."""
        if not signature:
            return "it is not signed"
        if hmac.compare_digest(self.sign(what, content).encode(), signature.encode()):
            return None
        other = signature.partition(":")[0]
        if other != self.id and re.fullmatch(f"[0-9a-f]{{{_ID_LENGTH}}}", other):
            return f"it is signed with key {other}, and the key here is {self.id}"
        return "its signature is invalid: it was changed after it was signed"


def key_file(project: Project) -> Path:
    """Return the path of the project's key file."""
    return Project(project.home).state / "signing.key"


def load_key(project: Project) -> SigningKey | None:
    """Read the key from the environment or the project's file.

    Returns:
        The key; None if there is none or another user owns it, since reading works without it.

    Raises:
        ConfigError: the value is not a key, or other users can read the file.
    """
    named = os.environ.get(VARIABLE)
    if named is not None:
        return _key(named, f"the variable {VARIABLE}")
    path = key_file(project)
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, PermissionError):
        return None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{path}: readable by others (mode {mode:04o}). Run `chmod 600 {path}`.")
    return _key(text, str(path))


def create_key(project: Project) -> SigningKey:
    """Create a key and write it to the project's file, readable for this user only.

    If several processes do so at once, one creates it and all return that one.

    Raises:
        ConfigError: the file does not contain a valid key, or belongs to another user.
    """
    path = key_file(project)
    create_private(path, secrets.token_hex(_BYTES) + "\n")
    key = load_key(project)
    if key is None:
        raise ConfigError(
            f"{path}: belongs to another user. Set {VARIABLE} to the signing key in it, which "
            "promotion needs."
        )
    return key


def _key(text: str, source: str) -> SigningKey:
    if not _HEX.fullmatch(text.strip()):
        raise ConfigError(f"{source}: contains no signing key (64 hex digits). {_MAKE_ONE}")
    return SigningKey(bytes.fromhex(text.strip()), source)
