"""`genmint.load`: what is registered is loaded by the code that is installed, after a check."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import genmint
from genmint.common.errors import ConfigError, GenmintError
from genmint.common.project_key import key_file
from genmint.common.tags import SIGNATURE_TAG
from genmint.registry import resolve

SPY = "import pathlib\npathlib.Path({!r}).write_text('ran')\n"


@pytest.mark.parametrize("target", ["tiny", "tiny@champion", "tiny/1"])
def test_a_model_is_loaded_and_drawn_from(stocked, target):
    stocked.make(seed=1, elbo=-15.0)
    model = genmint.load(target, stocked.root)
    assert model.sample(3, seed=0).shape == (3, 1, 4, 4)
    assert not model.module.training
    numbers = {"tiny": None, "tiny@champion": "2", "tiny/1": "1"}
    assert (model.name, model.version) == ("tiny", numbers[target])


def test_without_a_project_the_registry_is_named_by_the_variable(stocked, tmp_path, monkeypatch):
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    monkeypatch.chdir(outside)
    with pytest.raises(ConfigError, match="Change into a genmint checkout"):
        genmint.load("tiny@champion")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{stocked.root / 'mlflow.db'}")
    assert genmint.load("tiny@champion").sample(1, seed=0).shape == (1, 1, 4, 4)
    assert not list(outside.iterdir())


def test_stored_code_never_runs(stocked, tmp_path):
    """Code in the place of the stored is refused; with nothing to check it by, it is not run."""
    version = resolve.champion(stocked.project, "tiny")
    ran = tmp_path / "ran"
    for path in (stocked.root / "mlartifacts").rglob("pyfunc.py"):
        path.write_text(SPY.format(str(ran)))
    for folder in (stocked.root / "mlartifacts").rglob("code/genmint"):
        (folder / "__init__.py").write_text(SPY.format(str(ran)))
    code = f"import genmint; genmint.load('tiny/{version.version}', {str(stocked.root)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "the code stored with it is not the one that was registered" in done.stderr
    assert done.returncode != 0
    assert not ran.exists()


def test_what_is_not_signed_is_not_loaded(stocked):
    from mlflow import MlflowClient

    from genmint import tracking

    client = MlflowClient(tracking.uri(stocked.project))
    client.delete_model_version_tag("tiny", "2", SIGNATURE_TAG)
    with pytest.raises(GenmintError, match="tiny/2: it is not signed"):
        genmint.load("tiny/2", stocked.root)
    # Without the key nobody can tell; the weights are still those that the tags name.
    key_file(stocked.project).unlink()
    genmint.load("tiny/2", stocked.root)


def test_a_changed_code_is_found_without_the_key(stocked):
    key_file(stocked.project).unlink()
    source = resolve.champion(stocked.project, "tiny").source.removeprefix("file://")
    shutil.rmtree(Path(source) / "code")
    with pytest.raises(GenmintError, match="the code stored with it is not the one that was"):
        genmint.load("tiny@champion", stocked.root)
    genmint.load("tiny/1", stocked.root)
