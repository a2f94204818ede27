"""YAML within bounds: every awkward configuration, and every file of YAML that genmint reads."""

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.awkward.configurations import CONFIGURATIONS, GOOD, bomb

from genmint.common.dvc_lock import read_lock
from genmint.common.errors import GenmintError
from genmint.common.project import Project
from genmint.common.reading import Limits, parse_yaml
from genmint.config import load_params
from genmint.config.recipe import add_recipe
from genmint.data.ingestion.sources import read_description
from genmint.data.validation import read_suite

ROOT = Path(__file__).parents[3]
OURS = [
    *("params.yaml", "dvc.yaml", "prefect.yaml"),
    *(
        path.relative_to(ROOT).as_posix()
        for folder in ("config/recipes", "config/expectations", "data/sources")
        for path in (ROOT / folder).glob("*.yaml")
    ),
]
# Damage that no reader of YAML may take, whatever the file is for.
DAMAGE = {
    "bomb": bomb().encode(),
    "circular": b"a: &a {b: *a}\n",
    "nested": b"a: " + b"[" * 3000,
    "number-as-key": b"1: 2\n",
    "key-twice": b"a: 1\na: 2\n",
    "5000-digits": b"a: " + b"9" * 5000,
    "tag": b"a: !!python/object:os.system x\n",
    "nul": b'a: "\\0"\n',
    "conflict": b"<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> main\n",
    "latin-1": b"a: \xe9\n",
    "utf-16": "a: 1\n".encode("utf-16"),
}


@pytest.mark.parametrize("case", CONFIGURATIONS, ids=lambda case: case.name)
def test_each_awkward_configuration_does_what_must_happen(case, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(case.data)
    if case.refused is None:
        found = load_params(path).model_dump()
        for key in case.value[0].split("."):
            found = found[key]
        assert found == case.value[1]
        return
    with pytest.raises(GenmintError) as caught:
        load_params(path)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert message.startswith(f"{path}: ")
    assert re.search(case.refused, message), message
    assert len(message) < 5000
    # One line a problem, each of them with the file.
    assert all(line.startswith(f"{path}: ") for line in message.splitlines())


@pytest.mark.parametrize("name", OURS)
def test_plain_files_are_read_as_the_library_reads_them(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    found = parse_yaml(text, name)
    expected = YAML(typ="safe", pure=True).load(text)
    assert found == expected
    assert list(found) == list(expected)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("reader", [read_suite, read_description, read_lock])
def test_suites_descriptions_and_lock_files_are_bounded_as_well(reader, damage, tmp_path):
    path = tmp_path / "file.yaml"
    path.write_bytes(DAMAGE[damage])
    with pytest.raises(GenmintError, match=rf"^{path}: "):
        reader(path)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("place", ["params.yaml", "config/recipes/own.yaml"])
def test_add_refuses_them_and_changes_nothing(place, damage, tmp_path):
    (tmp_path / "config/recipes").mkdir(parents=True)
    (tmp_path / "params.yaml").write_text(GOOD)
    (tmp_path / "config/recipes/own.yaml").write_text("# Own\nmodels:\n  own: {}\n")
    (tmp_path / place).write_bytes(DAMAGE[damage])
    before = (tmp_path / "params.yaml").read_bytes()
    with pytest.raises(GenmintError, match=rf"^{tmp_path / place}: "):
        add_recipe(Project(tmp_path), "own")
    assert (tmp_path / "params.yaml").read_bytes() == before


def test_the_limits_hold_for_aliases_expanded():
    small = Limits(bytes=1000, nodes=10, characters=100, depth=3)
    assert parse_yaml("a: &a [1, 2]\nb: *a\n", "f", small) == {"a": [1, 2], "b": [1, 2]}
    for text, message in [
        ("a: &a [1, 2, 3]\nb: [*a, *a]\n", "more than 10 values"),
        (f"a: &a {'x' * 40}\nb: [*a, *a]\n", "more than 100 characters"),
        ("a: &a [[1]]\nb: [*a]\n", "nested more than 3 deep"),
        ("#" * 1001, "more than 1000 characters"),
    ]:
        with pytest.raises(GenmintError, match=rf"^f: .*{message}"):
            parse_yaml(text, "f", small)


def test_a_bomb_costs_little_memory(tmp_path):
    """The interpreter needs 200 MB of address space; the bomb stands for terabytes."""
    path = tmp_path / "params.yaml"
    path.write_text(GOOD + bomb(levels=12))
    code = (
        "import sys\nfrom pathlib import Path\nfrom genmint.config import load_params\n"
        "from genmint.common.errors import ConfigError\n"
        "try:\n    load_params(Path(sys.argv[1]))\n"
        "except ConfigError as error:\n    print(error)\n"
    )

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (500 << 20, 500 << 20))

    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], preexec_fn=limit, capture_output=True, text=True
    )
    assert "aliases stand for more than 20000" in done.stdout, done.stderr


def test_add_keeps_windows_lines_and_the_byte_order_mark(tmp_path):
    (tmp_path / "config/recipes").mkdir(parents=True)
    before = b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()
    (tmp_path / "params.yaml").write_bytes(before)
    (tmp_path / "config/recipes/own.yaml").write_text(
        "# Own\nmodels:\n  # Why\n  own: {family: rnn, dataset: poems, steps: 5}\n"
    )
    assert add_recipe(Project(tmp_path), "own") == ["models.own"]
    after = (tmp_path / "params.yaml").read_bytes()
    added = b"  # Why\r\n  own: {family: rnn, dataset: poems, steps: 5}\r\n"
    assert after.count(added) == 1
    assert after.replace(added, b"") == before


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("- models\n", "expected the maps"),
        ("models: [own]\n", "models: expected a map of entries"),
        ("modles: {own: {}}\n", "modles: a recipe has the maps"),
        (
            "models: {own: {family: rnn, dataset: poems, steps: 5}}\n",
            "cannot be inserted",
        ),
        (
            "models:\n  own: {family: rnn, dataset: poems, steps: 5, optimiser: &o {lr: 1e-3}}\n"
            "  too: {family: rnn, dataset: poems, steps: 5, optimiser: *o}\n",
            None,
        ),
    ],
)
def test_add_inserts_what_the_recipe_says_or_nothing(recipe, message, tmp_path):
    (tmp_path / "config/recipes").mkdir(parents=True)
    (tmp_path / "params.yaml").write_text(GOOD)
    (tmp_path / "config/recipes/own.yaml").write_text(recipe)
    if message is None:
        assert add_recipe(Project(tmp_path), "own") == ["models.own", "models.too"]
        assert load_params(tmp_path / "params.yaml").models["too"].optimiser.lr == 1e-3
        return
    with pytest.raises(GenmintError, match=message):
        add_recipe(Project(tmp_path), "own")
    assert (tmp_path / "params.yaml").read_text() == GOOD


def test_add_keeps_the_comment_of_an_empty_map(tmp_path):
    (tmp_path / "config/recipes").mkdir(parents=True)
    text = "datasets:\n  poems: {path: p, kind: text}\nmodels: {}  # none yet\ngates: {}\n"
    (tmp_path / "params.yaml").write_text(text)
    (tmp_path / "config/recipes/own.yaml").write_text(
        "models:\n  own: {family: rnn, dataset: poems, steps: 5}\n"
    )
    add_recipe(Project(tmp_path), "own")
    assert (tmp_path / "params.yaml").read_text() == text.replace(
        "models: {}  # none yet\n",
        "models:  # none yet\n  own: {family: rnn, dataset: poems, steps: 5}\n",
    )
