"""HTML rendering with genmint's templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def render(
    template: str, filters: dict[str, Callable[..., Any]] | None = None, **shown: Any
) -> str:
    """Render a template of genmint; values are escaped, and a missing value raises an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("genmint.reporting", "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters or {})
    return environment.get_template(template).render(**shown)
