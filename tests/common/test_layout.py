"""Names of files that several modules use: one module writes them as text."""

import ast
from pathlib import Path

import pytest

from genmint.common import layout
from genmint.common.project import RELATIVE, Project, is_project

ROOT = Path(__file__).parents[2]
NAMES = {value for name, value in vars(layout).items() if name.isupper()}
# The same words for other things: a heading of `genmint doctor`, which names the file and does not
# read it; a package of genmint; a split as a data set calls it.
OTHERS = {
    ("diagnostics/doctor.py", layout.PARAMS),
    ("evaluation/code_hash.py", layout.EVALUATION),
    ("data/ingestion/official.py", layout.EVALUATION),
}


def strings(path):
    return [
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def test_names_of_files_are_written_in_one_module():
    package = ROOT / "src" / "genmint"
    files = [*package.rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]
    found = {
        (path.relative_to(package).as_posix() if package in path.parents else path.name, text)
        for path in files
        if path != Path(layout.__file__)
        for text in strings(path)
        if text in NAMES
    }
    assert found - OTHERS == set(), "import these from genmint/common/layout.py"


@pytest.mark.parametrize(("missing", "whole"), [(None, True), ("params.yaml", False),
                                                ("dvc.yaml", False)])  # fmt: skip
def test_a_project_holds_its_settings_and_its_graph(tmp_path, missing, whole):
    for name in ("params.yaml", "dvc.yaml"):
        if name != missing:
            (tmp_path / name).touch()
    assert is_project(tmp_path) is whole


def test_paths_in_records_are_relative_to_the_project(tmp_path):
    for path in (Project.gate_record, Project.model, Project.samples):
        assert tmp_path / path(RELATIVE, "tiny") == path(Project(tmp_path), "tiny")
    assert RELATIVE.gate_record("tiny").as_posix() == "reports/gates/tiny.json"
