"""A decision is a pure function: no file, no clock, nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from tests.decision.gates import METRICS, gate, judge

from genmint.decision import gate as gating


def test_a_bad_model_is_refused_but_not_distrusted():
    record = judge(metrics={**METRICS, "elbo": -99.0})
    assert record.passed == 0
    assert record.distrusted() == ()


def test_the_record_says_its_mode():
    assert judge().mode == "enforce"
    assert judge(gate(mode="dry-run")).mode == "dry-run"


def test_the_decision_is_pure():
    assert judge() == judge()
    assert judge().model_dump_json() == judge().model_dump_json()


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("gate", ("torch", "mlflow", "dvc", "numpy", "scipy")),
        ("comparison", ("torch", "mlflow", "dvc")),
    ],
)
def test_a_decision_imports_nothing_heavy(module, heavy):
    code = (
        f"import sys, genmint.decision.{module}\nprint([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_reads_no_file_and_no_clock():
    tree = ast.parse(Path(gating.__file__).read_text())
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        node.module.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
    }
    assert not imported & {"time", "datetime", "os", "pathlib", "io", "random"}
