"""HTML pages from templates, in one design."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any


def breakable(name: str) -> str:
    """Return a name as escaped HTML that may break after its dots and underscores."""
    return re.sub(r"([._])", r"\1<wbr>", html.escape(name))


def render(
    package: str, template: str, filters: dict[str, Callable[..., Any]] | None = None, **shown: Any
) -> str:
    """Render a template; values are escaped, and a missing value raises an error.

    Args:
        package: the package with the folder `templates`, such as genmint.reporting.
        template: file name; it may extend `page.html`, which has the style of all pages.
        filters: additional filters of Jinja.
        shown: values of the template.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("genmint.common")]),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters or {})
    return environment.get_template(template).render(**shown)
