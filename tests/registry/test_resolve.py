"""Names of registered models: what is not there is named, and an error is never "none"."""

import pytest

from genmint.common.errors import GenmintError, RegistryUnreachableError
from genmint.common.files import sha256_file
from genmint.promotion.promote import promote
from genmint.registry import resolve


def test_no_store_means_no_champion_and_makes_no_store(workshop):
    (workshop.root / "mlflow.db").unlink()
    assert resolve.champion(workshop.project, "tiny") is None
    with pytest.raises(GenmintError, match="nothing is registered yet"):
        resolve.download(workshop.project, "tiny", workshop.root / "out", alias="champion")
    assert not (workshop.root / "mlflow.db").exists()


def test_an_unreachable_registry_is_not_the_absence_of_a_champion(workshop, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(RegistryUnreachableError):
        resolve.champion(workshop.project, "tiny")
    with pytest.raises(RegistryUnreachableError):
        resolve.download(workshop.project, "tiny", workshop.root / "out", version="1")


@pytest.mark.parametrize("target", [{"alias": "champion"}, {"version": "7"}])
def test_a_version_that_there_is_not_is_named(workshop, target):
    workshop.make(elbo=-35.0)
    promote(workshop.project, workshop.params, ["tiny"])
    with pytest.raises(GenmintError, match=r"tiny[@/](champion|7): there is no such version"):
        resolve.download(workshop.project, "tiny", workshop.root / "out", **target)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_stored_model_that_was_changed_is_not_handed_out(stocked, file):
    """Whoever can write artefacts could have the champion speak with another temperature."""
    version = resolve.champion(stocked.project, "tiny")
    changed = 0
    for path in (stocked.root / "mlartifacts").rglob(f"artifacts/weights/{file}"):
        if sha256_file(path.with_name("model.safetensors")) == version.weights:
            path.write_bytes(path.read_bytes().replace(b"e", b"f", 1))
            changed += 1
    assert changed == 1
    with pytest.raises(GenmintError, match=f"tiny/2: its {file} is not the one that was reg"):
        resolve.download(stocked.project, "tiny", stocked.root / "out", alias="champion")
    assert resolve.download(stocked.project, "tiny", stocked.root / "first", version="1").is_dir()
