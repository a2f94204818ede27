"""One name, one thing: no two public classes or types of one name, and no private dialect."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src/genmint"

# A public class or type alias that two modules define, and why both have the name.
SHARED: dict[str, str] = {}

# Words of this project alone, each with the word of the field.
DIALECT = {
    "mortal": "die_with_parent",
    "warden": "cleanup_watchdog",
    "look": "check",
    "looks": "checks",
    "begun": "started",
    "stock": "items",
    "shelf": "store",
    "crew": "process_group",
    "night": "nightly run, result",
    "heal": "is_transient",
    "heals": "is_transient",
    "turn": "phase (of the optimizer)",
    "turns": "phases (of the optimizer)",
    "settled": "finalised",
    "grounds": "gate_inputs",
    "standing": "registry_state",
    "contest": "comparison",
    "ruling": "comparison",
    "mend": "repair",
    "mended": "repaired",
}

# Verbs that are no names of things, as whole names: `held_out` is a word of the field.
VERBS = {"said", "told", "found", "held", "made", "asked"}

# File, name: where a word of the lists stays.
KEPT = {
    ("registry/signature.py", "grounds"): "stored and signed under this name",
    ("drift/state.py", "asked"): "a key of state.json",
    ("promotion/challenge.py", "found"): "a key of a stored tag",
    ("metrics/ngram.py", "_look_up"): "to look up is what the field says of a table",
    ("data/ingestion/readers/image.py", "_TURNS"): "an image is turned: the EXIF orientation",
    ("data/ingestion/readers/image.py", "turn"): "an image is turned: the EXIF orientation",
}


def modules() -> dict[str, ast.Module]:
    files = sorted(SOURCE.rglob("*.py"))
    return {f.relative_to(SOURCE).as_posix(): ast.parse(f.read_text("utf-8")) for f in files}


def is_type(value: ast.expr) -> bool:
    """Whether an assigned value is a type: a subscript, a union of names, or a TypeVar."""
    if isinstance(value, ast.BinOp):
        return isinstance(value.op, ast.BitOr) and is_type(value.left) and is_type(value.right)
    return isinstance(value, ast.Subscript | ast.Name | ast.Attribute)


def types_of(tree: ast.Module) -> Iterator[str]:
    """Public classes and type aliases of a module."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign) and is_type(node.value):
            names = (each.id for each in node.targets if isinstance(each, ast.Name))
            yield from (name for name in names if re.fullmatch(r"[A-Z][A-Za-z0-9]*[a-z]\w*", name))


def defined_twice(trees: dict[str, ast.Module]) -> dict[str, list[str]]:
    where = defaultdict(list)
    for file, tree in trees.items():
        for name in types_of(tree):
            if not name.startswith("_"):
                where[name].append(file)
    return {name: files for name, files in where.items() if len(files) > 1}


def names_of(file: str, tree: ast.Module) -> Iterator[str]:
    """The names that a module gives: its own and its folders', of classes, functions, variables."""
    yield from Path(file).with_suffix("").parts
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname


def words_of(name: str) -> set[str]:
    """The words of a name in snake_case, CamelCase or capitals."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def dialect(trees: dict[str, ast.Module]) -> dict[tuple[str, str], list[str]]:
    reports = {}
    for file, tree in trees.items():
        for name in set(names_of(file, tree)):
            if words := words_of(name) & DIALECT.keys():
                reports[file, name] = [f"say {DIALECT[word]}" for word in sorted(words)]
            elif name.strip("_").lower() in VERBS:
                reports[file, name] = ["name the thing: record, request, path, message"]
    return reports


def test_a_public_class_or_type_has_a_name_of_its_own():
    twice = defined_twice(modules())
    assert {name: files for name, files in twice.items() if name not in SHARED} == {}
    assert SHARED.keys() <= twice.keys(), "an exception that is not needed any more"


def test_names_are_words_of_the_field():
    reports = dialect(modules())
    assert {where: what for where, what in reports.items() if where not in KEPT} == {}
    assert KEPT.keys() <= reports.keys(), "an exception that is not needed any more"


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("class Plan: ...", {"Plan"}),
        ("Floats = npt.NDArray[np.float64]", {"Floats"}),
        ("Both = int | Other", {"Both"}),
        ("FLOATS = table[0]\nplan = 3\nPlan = build()", set()),
    ],
)
def test_a_type_that_two_modules_define_is_noticed(code, names):
    tree = ast.parse(code)
    assert defined_twice({"a.py": tree, "b.py": tree}).keys() == names
    assert defined_twice({"a.py": tree}) == {}


@pytest.mark.parametrize(
    ("file", "code", "names"),
    [
        ("a.py", "class NightShift: ...", {"NightShift"}),
        ("a.py", "def take_look(crew, *, shelf=None): ...", {"take_look", "crew", "shelf"}),
        ("a.py", "self._warden = 1\nSECONDS_PER_LOOK = 2", {"_warden", "SECONDS_PER_LOOK"}),
        ("a.py", "import x as mortal\nfor turn in x: ...", {"mortal", "turn"}),
        ("look.py", "", {"look"}),
        ("mortal/a.py", "", {"mortal"}),
        ("a.py", "def f(found): ...\nwith x as (held, _said): ...", {"found", "held", "_said"}),
        ("a.py", "held_out = found_at = x.found", set()),
        ("a.py", "nightly = returns = outlook = lookup = x.look\nx['look'] = 'night'", set()),
    ],
)
def test_a_private_word_is_noticed(file, code, names):
    assert {name for _, name in dialect({file: ast.parse(code)})} == names
