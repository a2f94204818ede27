"""Names of tags, labels and events: stored data bear them, and one module writes them as text."""

import ast
import re
from pathlib import Path

from genmint.common import tags

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")])
NAME = re.compile(r"genmint\.[a-z][\w.-]*")


def literals(path):
    """Strings of a module, also those within f-strings, without docstrings."""
    return [
        (node.lineno, node.value)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def is_module(name):
    path = ROOT / "src" / name.rstrip(".").replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_names_are_written_in_one_module():
    own = {value for name, value in vars(tags).items() if name.isupper() and isinstance(value, str)}
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in SOURCES
        if path != Path(tags.__file__)
        for line, text in literals(path)
        # The cache's file `genmint.id` is none: DVC's cache, not MLflow or Prefect, has it.
        if NAME.fullmatch(text) and (text in own or not is_module(text)) and text != "genmint.id"
    ]
    assert found == [], "write these in genmint/common/tags.py, and import them from there"


def test_no_two_names_are_the_same():
    named = [
        value
        for key, value in vars(tags).items()
        if key.endswith(("_TAG", "_LABEL", "_EVENT")) and isinstance(value, str)
    ]
    assert len(named) == len(set(named))


def test_events_and_their_resources():
    assert tags.verdict_event("not better") == "genmint.verdict.not-better"
    assert tags.verdict_event("refused") == tags.REFUSED_EVENT
    assert tags.drift_event("nothing new") == "genmint.drift.nothing-new"
    assert tags.model_resource("tiny") == "genmint.model.tiny"
    assert tags.dataset_resource("dots") == "genmint.dataset.dots"
