"""The known name that a mistyped one is nearest to, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that resembles `name` most; None if none resembles it."""
    near = difflib.get_close_matches(name, known, n=1)
    return near[0] if near else None


def nearest_or_all(name: str, known: Sequence[str]) -> str:
    """Return a question for the nearest known name; without one, all known names."""
    near = nearest(name, known)
    return f"there are: {', '.join(known)}" if near is None else f"did you mean {near!r}?"
