"""`genmint.load`: what is registered is loaded by the code that is installed, after a check."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import genmint
from genmint.common.errors import ConfigError, GenmintError
from genmint.common.layout import WEIGHTS
from genmint.common.project_key import key_file
from genmint.common.tags import SIGNATURE_TAG
from genmint.registry import resolve
from genmint.registry.signature import STORED_WEIGHTS

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


def stored_weights(stocked):
    source = resolve.champion(stocked.project, "tiny").source.removeprefix("file://")
    return Path(source) / STORED_WEIGHTS / WEIGHTS


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("none", r"models/none: not trained here\. Run `dvc repro train@none`, or name a reg"),
        ("none@champion", "none@champion: there is no such version. Run `genmint promote none`"),
        ("tina", r"models/tina: not trained here \(did you mean 'tiny'\?\)\. Run `dvc repro"),
        (f"tiny/{2**31}", "tiny/2147483648: there is no such version"),
        (f"tiny/{10**20}", "tiny/100000000000000000000: there is no such version"),
        ("./tiny", "'./tiny': write NAME, .*; and there is no folder of that path"),
        ("x" * 300, r"'x+'?… \(300 characters\): write NAME"),
        (None, "None: write NAME@champion as text, or a Path"),
        (b"tiny", "b'tiny': write NAME@champion as text, or a Path"),
        ("tiny/99", "tiny/99: there is no such version"),
        ("tiny@nobody", "tiny@nobody: there is no such version"),
        ("tiny/3", r"tiny/3: it failed its gate \(.*\)\. Use tiny@champion\. .* allow_refused="),
        ("Tiny", "'Tiny': write NAME, NAME@alias or NAME/version"),
        ("tiny@", "write NAME, NAME@alias or NAME/version"),
        ("", "write NAME, NAME@alias or NAME/version"),
        (Path("nowhere"), "nowhere: no such folder. Write NAME@champion for a registered model"),
        ("models/tiny", r"models/tiny: no manifest\.json, so it is not a folder that"),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded_is_named_in_one_line(stocked, monkeypatch, target, message):
    monkeypatch.chdir(stocked.root)
    with pytest.raises(GenmintError, match=message) as caught:
        genmint.load(target)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("with_key", [True, False])
@pytest.mark.parametrize("change", [damage, Path.unlink, lambda path: path.write_bytes(b"")])
def test_damaged_files_are_named_in_one_line(stocked, with_key, change):
    stocked.make(seed=1, elbo=-15.0)
    if not with_key:
        key_file(stocked.project).unlink()
    local = stocked.root / "models/tiny" / WEIGHTS
    change(local)
    with pytest.raises(GenmintError, match=r"model\.safetensors: .*dvc checkout") as caught:
        genmint.load("tiny", stocked.root)
    assert "\n" not in str(caught.value)
    change(stored_weights(stocked))
    with pytest.raises(
        GenmintError, match=r"tiny/2: its model.safetensors is .*`genmint lin"
    ) as caught:
        genmint.load("tiny@champion", stocked.root)
    assert "\n" not in str(caught.value)


def test_a_missing_file_of_an_unsigned_version_is_named(stocked):
    from mlflow import MlflowClient

    from genmint import tracking

    client = MlflowClient(tracking.uri(stocked.project))
    client.delete_model_version_tag("tiny", "2", SIGNATURE_TAG)
    key_file(stocked.project).unlink()
    stored_weights(stocked).unlink()
    with pytest.raises(GenmintError, match=r"tiny/2: its model\.safetensors is gone"):
        genmint.load("tiny/2", stocked.root)
