"""The commands that a page of docs has its readers type."""

import re
import shlex
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
_FENCED = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:(?<=\n\n)|\A)((?: {4}\S.*\n)+)")


def blocks(page):
    """The blocks of commands of a page, in their order, as they stand there."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = [(match.start(), match[1]) for match in _FENCED.finditer(text)]
    bare = re.sub(r"^```.*?^```", lambda match: " " * len(match[0]), text, flags=re.M | re.S)
    found += [(match.start(), re.sub("^    ", "", match[1], flags=re.MULTILINE))
              for match in _INDENTED.finditer(bare)]  # fmt: skip
    return [block for _, block in sorted(found)]


def commands(page):
    """Each command of a page in one line, without comments and blanks that say nothing."""
    lines = "".join(blocks(page)).replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True, posix=False) for line in lines]
    return [" ".join(each) for each in words if each]
