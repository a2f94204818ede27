import json
import unittest.mock

import pytest
import torch
from safetensors.torch import load_file, save_file

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.files import sha256_json
from genmint.config import GANConfig, RNNConfig, VAEConfig
from genmint.models.shared import store

CONFIGS = {
    "vae": VAEConfig(family="vae", dataset="d", steps=1, hidden=(6,), latent=2),
    "gan": GANConfig(family="gan", dataset="d", steps=1, hidden=(6,), latent=2),
    "rnn": RNNConfig(family="rnn", dataset="d", steps=1, hidden=6, embedding=3),
}


@pytest.fixture(params=sorted(CONFIGS))
def saved(request, tmp_path, grid, items):
    spec = items(6) if request.param == "rnn" else grid(1, 8, 8)
    model = store.build(CONFIGS[request.param], spec)
    folder = tmp_path / "tiny"
    folder.mkdir()
    described = {
        "name": "tiny", "model": CONFIGS[request.param], "data": spec, "prepared": "0" * 64,
        "resolved": {"precision": "fp32", "device": "cpu"},
    }  # fmt: skip
    return folder, model, store.save(folder, model, described)


def test_what_is_saved_comes_back(saved):
    folder, model, record = saved
    loaded, again = store.load(folder)
    assert again == record
    assert not loaded.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])
    assert torch.equal(model.sample(5, seed=0), loaded.sample(5, seed=0))


def test_the_same_model_gives_the_same_bytes(saved, tmp_path):
    folder, model, record = saved
    other = tmp_path / "again"
    other.mkdir()
    described = record.model_dump(include={"name", "prepared", "resolved"})
    store.save(other, model, {**described, "model": record.model, "data": record.data})
    for name in (store.WEIGHTS, store.CONFIG):
        assert (folder / name).read_bytes() == (other / name).read_bytes()


def test_the_layout_in_memory_is_not_stored(tmp_path, grid):
    config = VAEConfig(family="vae", dataset="d", steps=1, network="conv", hidden=(6, 4), latent=2)
    model, files = store.build(config, grid(1, 8, 8)), []
    described = {
        "name": "tiny", "model": config, "data": grid(1, 8, 8), "prepared": "0" * 64,
        "resolved": {"precision": "fp32"},
    }  # fmt: skip
    for layout in (torch.contiguous_format, torch.channels_last):
        folder = tmp_path / str(len(files))
        folder.mkdir()
        store.save(folder, model.to(memory_format=layout), described)
        files.append((folder / store.WEIGHTS).read_bytes())
    assert files[0] == files[1]


def test_building_depends_on_the_seed_and_on_nothing_else(grid):
    def weights(seed):
        torch.rand(3)
        model = store.build(CONFIGS["vae"].model_copy(update={"seed": seed}), grid(1, 8, 8))
        return torch.cat([p.flatten() for p in model.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_any_flipped_byte_is_noticed(saved):
    folder, _, _ = saved
    path = folder / store.WEIGHTS
    whole = path.read_bytes()
    for place in {0, 3, 9, len(whole) // 2, len(whole) - 1}:
        damaged = bytearray(whole)
        damaged[place] ^= 0x40
        path.write_bytes(damaged)
        with pytest.raises(GenmintError, match=r"model\.safetensors: .*dvc checkout"):
            store.load(folder)


def test_a_cut_file_is_noticed(saved):
    folder, _, _ = saved
    path = folder / store.WEIGHTS
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(GenmintError, match="damaged"):
        store.load(folder)


@pytest.mark.parametrize("name", [store.WEIGHTS, store.CONFIG])
def test_a_missing_file_is_named(saved, name):
    folder, _, _ = saved
    (folder / name).unlink()
    with pytest.raises(GenmintError, match=f"{name}: no such file.*train@tiny"):
        store.load(folder)


def test_a_wrong_shape_is_described(saved):
    folder, _, _ = saved
    weights = load_file(folder / store.WEIGHTS)
    name = sorted(weights)[0]
    weights[name] = torch.zeros(3, 7)
    save_file(weights, folder / store.WEIGHTS)
    with pytest.raises(GenmintError, match=f"{name} is float32 3×7, and the model"):
        store.load(folder)


def test_a_tensor_too_few_or_too_many_is_named(saved):
    folder, _, _ = saved
    weights = load_file(folder / store.WEIGHTS)
    save_file({**weights, "surplus": torch.zeros(1)}, folder / store.WEIGHTS)
    with pytest.raises(GenmintError, match="holds surplus, which is not the model's"):
        store.load(folder)
    name = sorted(weights)[0]
    del weights[name]
    save_file(weights, folder / store.WEIGHTS)
    with pytest.raises(GenmintError, match=f"lacks {name}"):
        store.load(folder)


def test_weights_of_another_model_of_the_same_shape_are_refused(saved):
    folder, _, _ = saved
    weights = load_file(folder / store.WEIGHTS)
    save_file({name: value + 1 for name, value in weights.items()}, folder / store.WEIGHTS)
    with pytest.raises(GenmintError, match=r"not the weights that config\.json names"):
        store.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2, where this version reads 1"),
        ({"prepared": None}, "prepared: "),
        ({"surplus": 1}, "surplus: "),
    ],
)
def test_a_configuration_that_is_none_is_refused(saved, change, message):
    folder, _, _ = saved
    path = folder / store.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(GenmintError, match=message):
        store.load(folder)


@pytest.mark.parametrize("key", ["model", "data", "prepared", "resolved", "identity"])
def test_a_configuration_changed_by_hand_is_refused_before_its_network_is_built(saved, key):
    folder, _, _ = saved
    path = folder / store.CONFIG
    content = json.loads(path.read_text())
    changed = {
        "model": {**content["model"], "seed": content["model"]["seed"] + 1},
        "data": {**content["data"], "dataset": "another"},
        "resolved": {**content["resolved"], "precision": "bf16"},
    }
    path.write_text(json.dumps({**content, key: changed.get(key, "1" * 64)}))
    with (
        unittest.mock.patch.object(store, "build", side_effect=AssertionError),
        pytest.raises(GenmintError, match=r"config\.json: changed since it was written\. Restore"),
    ):
        store.load(folder)


def test_an_entry_that_a_later_version_of_genmint_knows_by_default_is_no_change(saved):
    folder, _, _ = saved
    path = folder / store.CONFIG
    content = json.loads(path.read_text())
    # What an older version wrote has no such key.
    del content["model"]["seed"]
    identified = {key: content[key] for key in ("model", "data", "prepared", "resolved")}
    path.write_text(json.dumps({**content, "identity": sha256_json(identified)}))
    assert store.load(folder)[1].model.seed == 0


def test_identity_changes_with_what_defines_the_weights(grid):
    config, spec = CONFIGS["vae"], grid(1, 8, 8)
    resolved = {"precision": "fp32"}
    base = store.identity(config, spec, "a", resolved)
    assert base == store.identity(config.model_copy(), spec, "a", dict(resolved))
    others = {
        store.identity(config.model_copy(update={"seed": 1}), spec, "a", resolved),
        store.identity(config, grid(1, 8, 9), "a", resolved),
        store.identity(config, spec, "b", resolved),
        store.identity(config, spec, "a", {"precision": "bf16"}),
    }
    assert len(others | {base}) == 5


def test_a_configuration_that_does_not_fit_the_data_is_refused(grid):
    deep = CONFIGS["vae"].model_copy(update={"network": "conv", "hidden": (4,) * 5})
    with pytest.raises(ConfigError, match="give it fewer"):
        store.build(deep, grid(1, 8, 8))
