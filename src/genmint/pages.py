"""Pages made from the templates of genmint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def render(
    template: str, filters: dict[str, Callable[..., Any]] | None = None, **shown: Any
) -> str:
    """Fill in a template of `genmint/templates`; values are escaped, a missing one is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("genmint", "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters or {})
    return environment.get_template(template).render(**shown)
