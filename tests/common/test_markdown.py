"""Tables and escaping of the pages in MLflow and Prefect, which one module writes."""

import re
from pathlib import Path

from genmint.common import markdown
from genmint.common.markdown import escape_cell, escape_markdown, markdown_table

ROOT = Path(__file__).parents[2]


def test_markdown_takes_nothing_as_markup():
    assert escape_markdown("a|b\n<img> *x* _y_ max_items [l](u) `c` \x1b") == (
        "a\\|b &lt;img&gt; \\*x\\* \\_y\\_ max_items \\[l\\](u) \\`c\\` \\\\x1b"
    )


def test_a_cell_keeps_its_markup_and_stays_one_cell():
    assert escape_cell("**a** | b\nc") == "**a** \\| b c"


def test_a_table():
    assert markdown_table(("what", "n"), [("a", "1"), ("", "2")], numbers=("n",)) == [
        "| what | n |",
        "|---|---:|",
        "| a | 1 |",
        "|  | 2 |",
    ]


def test_no_other_module_writes_a_table():
    ruler = re.compile(r"\|:?---|---:?\||' \| '\.join")
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]
    found = [
        str(path.relative_to(ROOT))
        for path in files
        if path != Path(markdown.__file__) and ruler.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []
