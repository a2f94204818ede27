"""Charts of the pages: one style, as SVG that follows the light or dark colours of the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Text and axes on a light page; replaced by the second on a dark one.
_SOFT, _SOFT_IN_THE_DARK = "#5c6675", "#9aa4b2"
# Each has a contrast of at least 3 with a light and with a dark page.
COLOURS = ("#2f7fd1", "#d0660f", "#2a9467", "#a95fc4", "#c84a5c", "#7d8794")

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "genmint",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _SOFT,
    "axes.edgecolor": _SOFT,
    "axes.labelcolor": _SOFT,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
_IN_THE_DARK = (
    "<style>@media (prefers-color-scheme: dark) {"
    f'[style*="fill: {_SOFT}"] {{ fill: {_SOFT_IN_THE_DARK} !important; }} '
    f'[style*="stroke: {_SOFT}"] {{ stroke: {_SOFT_IN_THE_DARK} !important; }}'
    "}</style>"
)


@contextmanager
def chart(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure of this size in inches and its axes, in the style of the pages.

    `svg_uri` must be called within the context, since it reads the style as well.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        picture = Figure(figsize=(width, height), layout="constrained")
        yield picture, picture.add_subplot()


def svg_uri(picture: Figure) -> str:
    """Return a figure as an SVG data URI with a transparent background."""
    buffer = io.BytesIO()
    picture.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    head, end, body = buffer.getvalue().decode().partition("<defs>")
    content = f"{head}{_IN_THE_DARK}{end}{body}"
    return f"data:image/svg+xml;base64,{base64.b64encode(content.encode()).decode()}"
