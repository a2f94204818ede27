"""The form in which DVC writes params.yaml: `dvc exp run -S` of one key changes one line."""

from __future__ import annotations

from io import StringIO
from typing import Any

# Width at which DVC's writer breaks a map in braces; a broken line would end with a blank.
_WIDTH = 80


def as_dvc_writes(text: str) -> str:
    """Return a YAML document in the form that DVC's own writer leaves as it is.

    DVC writes a list outside braces one item a line, null as nothing, and strings without needless
    quotes. A map in braces that is wider than 80 characters becomes one key a line. Comments stay.

    Args:
        text: a document with Unix line endings; its size and depth were checked before.
    """
    from ruamel.yaml import YAML

    yaml: Any = YAML()
    yaml.default_flow_style = False
    document = yaml.load(text)
    _unfold(document, 0)
    stream = StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def _unfold(node: Any, indent: int) -> None:
    """Set the style of all values of a map that is written one key a line."""
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if isinstance(value, list) and value:
            value.fa.set_block_style()  # type: ignore[attr-defined]
        elif isinstance(value, dict):
            if value.fa.flow_style() and indent + len(_line(key, value)) > _WIDTH:  # type: ignore[attr-defined]
                value.fa.set_block_style()  # type: ignore[attr-defined]
            if not value.fa.flow_style():  # type: ignore[attr-defined]
                _unfold(value, indent + 2)


def _line(key: str, value: Any) -> str:
    """Return a map in braces as one line, without its comment and the closing brace."""
    from ruamel.yaml import YAML

    yaml: Any = YAML()
    yaml.default_flow_style = True
    yaml.width = 10**6
    stream = StringIO()
    yaml.dump(_plain({key: value}), stream)
    return stream.getvalue().strip()[1:-2]


def _plain(node: Any) -> Any:
    """Return a copy without comments and styles of its maps and lists."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    return [_plain(value) for value in node] if isinstance(node, list) else node
