"""No file, function, parameter list or class grows past the house's limits of size."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "pipelines", "scripts", "tests", "benchmarks")
FILE_LINES = 400
BODY_LINES = 45
PARAMETERS = 8
PUBLIC_METHODS = 15

# Functions with more parameters, with the reason.
_VERB = "the parameters of a Typer verb are its options on the command line, of one subject"
MORE_PARAMETERS = {
    "src/genmint/commands/sample.py::sample": _VERB,
    "src/genmint/commands/services.py::services": _VERB,
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _body_lines(function: Function) -> int:
    """Lines from the first statement after the docstring to the last; nested ones included."""
    body = function.body
    if ast.get_docstring(function, clean=False) is not None:
        body = body[1:]
    if not body:
        return 0
    first = body[0]
    decorators = getattr(first, "decorator_list", [])
    start = min([first.lineno, *(each.lineno for each in decorators)])
    return (body[-1].end_lineno or body[-1].lineno) - start + 1


def _parameters(function: Function) -> int:
    """Number of parameters, positional and keyword-only, without self and cls."""
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def _public_methods(owner: ast.ClassDef) -> int:
    """Number of public methods and properties written in a class; a setter is not a second one."""
    functions = (
        each for each in owner.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    return len({each.name for each in functions if not each.name.startswith("_")})


def _named(node: ast.AST, inside: str = "") -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Every function and class below a node with its qualified name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = f"{inside}{child.name}"
            yield name, child
            yield from _named(child, f"{name}.")
        else:
            yield from _named(child, inside)


def offenders(source: str, shown: str) -> list[str]:
    """Every limit that a file exceeds, one line each with its figure."""
    found = []

    def check(where: str, figure: int, limit: int, counted: str) -> None:
        if figure > limit:
            found.append(f"{where}: {figure} {counted}, at most {limit}")

    check(shown, len(source.splitlines()), FILE_LINES, "lines")
    for name, node in _named(ast.parse(source)):
        where = f"{shown}::{name}"
        if isinstance(node, ast.ClassDef):
            check(where, _public_methods(node), PUBLIC_METHODS, "public methods")
            continue
        check(where, _body_lines(node), BODY_LINES, "lines of body")
        if where not in MORE_PARAMETERS:
            check(where, _parameters(node), PARAMETERS, "parameters")
    return found


def test_every_file_is_below_the_limits():
    files = sorted(each for folder in FOLDERS for each in (ROOT / folder).rglob("*.py"))
    assert len(files) > len(FOLDERS)
    found = [
        line
        for file in files
        for line in offenders(file.read_text("utf-8"), file.relative_to(ROOT).as_posix())
    ]
    assert not found, "\n" + "\n".join(found)


def test_every_exception_is_needed():
    for where in MORE_PARAMETERS:
        file, name = where.split("::")
        functions = dict(_named(ast.parse((ROOT / file).read_text("utf-8"))))
        node = functions.get(name)
        assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)), f"{where} is gone"
        assert _parameters(node) > PARAMETERS, f"{where} is below the limit"


def _function(parameters: int, lines: int) -> str:
    names = ", ".join(f"a{number}" for number in range(parameters))
    return f'def f(self, {names}):\n    """One."""\n' + "    pass\n" * lines


@pytest.mark.parametrize(
    ("at_the_limit", "above"),
    [
        ("\n" * FILE_LINES, "\n" * (FILE_LINES + 1)),
        (_function(1, BODY_LINES), _function(1, BODY_LINES + 1)),
        (_function(PARAMETERS, 1), _function(PARAMETERS + 1, 1)),
        (
            "class C:\n" + "".join(f"    def m{n}(self): ...\n" for n in range(PUBLIC_METHODS)),
            "class C:\n" + "".join(f"    def m{n}(self): ...\n" for n in range(PUBLIC_METHODS + 1)),
        ),
    ],
    ids=["file", "body", "parameters", "methods"],
)
def test_one_above_a_limit_is_found(at_the_limit, above):
    assert offenders(at_the_limit, "file.py") == []
    assert len(offenders(above, "file.py")) == 1
