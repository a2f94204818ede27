"""The files of a stored model: it carries what it runs, and nothing is pickled."""

import os
import pickletools
import subprocess
import sys

import grimp
import pytest
from mlflow.exceptions import MlflowException

from genmint.registry import pyfunc


@pytest.fixture
def image_model(workshop):
    workshop.make(gate=False)
    target = workshop.root / "served"
    pyfunc.save(workshop.root / "models/tiny", target)
    return target


def test_it_carries_every_module_that_it_imports():
    graph = grimp.build_graph("genmint", exclude_type_checking_imports=True, cache_dir=None)
    parts = {name.split(".")[1] for name in graph.find_upstream_modules("genmint.registry.pyfunc")
             if "." in name}  # fmt: skip
    assert parts <= {part.removesuffix(".py") for part in pyfunc._CODE}


def test_it_loads_where_there_is_no_checkout(image_model, tmp_path):
    """Its own copy of the package is what runs, though this environment has it installed too."""
    code = (
        "import sys, mlflow, pandas as pd\n"
        f"model = mlflow.pyfunc.load_model({str(image_model)!r})\n"
        "print(len(model.predict(pd.DataFrame({'n': [3], 'seed': [0]}))))\n"
        "import genmint\n"
        "print(genmint.__file__)\n"
    )
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, origin = done.stdout.split()
    assert count == "3"
    assert origin == str(image_model / "code" / "genmint" / "__init__.py")


def test_nothing_in_it_is_pickled(image_model):
    files = [path for path in image_model.rglob("*") if path.is_file()]
    assert image_model / "artifacts" / "weights" / "model.safetensors" in files
    for path in files:
        assert path.suffix not in {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".pyc"}, path
        content = path.read_bytes()
        if content[:1] == b"\x80":
            with pytest.raises(MlflowException, match=r".*"):
                list(pickletools.genops(content))


def test_requirements_can_be_installed_anywhere(image_model):
    lines = (image_model / "requirements.txt").read_text().split()
    named = {line.partition("==")[0] for line in lines}
    assert {"mlflow", "numpy", "pydantic", "safetensors", "torch"} <= named
    assert not [line for line in lines if "+" in line or "@" in line]
