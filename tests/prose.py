"""The prose of files: what a reader reads of them, at the places where it stands.

Each reader returns the text of a file in its full length. Everything that is not prose (code,
literals, addresses) is masked with `MASK`, character by character, so that offsets and lines stay.
"""

import ast
import io
import re
import tokenize

MASK = "\x01"
_FENCE = re.compile(r"^ *```.*?^ *```[^\n]*$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"(?:(?<=\s)|^)#(.*)")
_DESCRIPTION = re.compile(r"^ *(?:- )?desc(?:ription)?: (.*)$", re.MULTILINE)
_INLINE = re.compile(r"(`+)[^`\n]+?\1|(?<=\])\([^)\s]+\)|https?://\S+|<[a-z/!][^>\n]*>")


def masked(text):
    """As many masks as characters; white space stays."""
    return re.sub(r"\S", MASK, text)


def blank(text):
    """As many blanks as characters; white space stays."""
    return re.sub(r"\S", " ", text)


def _inline(text):
    return _INLINE.sub(lambda match: MASK * len(match[0]), text)


def _comments(code):
    """Only the comments of lines of shell, YAML or make."""
    lines = []
    for line in code.split("\n"):
        match = _COMMENT.search(line)
        if match is None:
            lines.append(masked(line))
        else:
            before = masked(line[: match.start()])
            lines.append(f"{before} {_inline(match[1])}")
    return "\n".join(lines)


def markdown(text, code=_comments):
    """A page. Of its code only the comments are read; `code=masked` leaves them out too."""
    text = _FENCE.sub(lambda match: code(match[0]), text)
    lines, before, in_code = [], "", False
    for line in text.split("\n"):
        # Indented code follows an empty line; the continuation of a list item does not.
        in_code = line.startswith("    ") and (in_code or not before.strip())
        lines.append(code(line) if in_code else line)
        before = line
    return _inline("\n".join(lines))


def yaml(text):
    """Comments, and the values of `desc` and `description`."""
    read = _comments(text)
    for match in _DESCRIPTION.finditer(text):
        read = read[: match.start(1)] + _inline(match[1]) + read[match.end(1) :]
    return read


def makefile(text):
    """Comments, and the lines of `make help`."""
    return re.sub(r"#+", lambda match: " " * len(match[0]), _comments(text))


def python(text):
    """Docstrings and comments of a module."""
    lines = text.split("\n")
    read = [masked(line) for line in lines]

    def show(first, last, start=0, end=None):
        for number in range(first, last + 1):
            line = lines[number]
            left = start if number == first else 0
            right = end if number == last and end is not None else len(line)
            read[number] = read[number][:left] + line[left:right] + read[number][right:]

    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        if not isinstance(body, list) or not body or not isinstance(body[0], ast.Expr):
            continue
        value = body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            show(value.lineno - 1, value.end_lineno - 1)
            for number in range(value.lineno, value.end_lineno):
                # The name of an argument, attribute or exception is no prose.
                named = re.match(r"\s+\w+:", read[number])
                if named:
                    read[number] = masked(named[0]) + read[number][named.end() :]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            line = lines[row - 1]
            read[row - 1] = f"{read[row - 1][:column]} {_inline(line[column + 1 :])}"
    return _inline("\n".join(read))


def line_of(text, offset):
    """Number of the line, from 1."""
    return text.count("\n", 0, offset) + 1


def sentences(text):
    """Sentences of a page outside tables, code and headings, with the numbers of their lines.

    A piece of inline code, and a link's address with its text, count as the words that are seen.
    """
    read = markdown(text, code=blank)
    blocks, block, start = [], [], 0
    for number, line in enumerate([*read.split("\n"), ""], 1):
        alone = not line.strip() or line.startswith(("#", "|", "!["))
        if alone or re.match(r" *(?:[-*]|\d+\.) ", line):
            blocks.append((start, " ".join(block)))
            block, start = [], number
        if not alone:
            if not block:
                start = number
            block.append(re.sub(r"^ *(?:[-*]|\d+\.) ", "", line).strip())
    for start, joined in blocks:
        for sentence in _END.split(joined):
            if sentence.strip():
                yield start, sentence.replace(MASK, "x")


# Of a sentence: not of an abbreviation such as `et al.`. No blank follows a Chinese full stop.
_END = re.compile(r"(?<!et al)(?<!e\.g)(?<!i\.e)(?<! vs)(?<!s\.d)[.!?][*)\"”]*\s+|(?<=[。！？])")


def words(sentence):
    """Number of words; a number, a formula's sign or a dash counts where letters are in it."""
    return sum(bool(re.search(r"\w", word)) for word in sentence.split())
