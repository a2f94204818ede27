import json
import wave
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from genmint.common.errors import GenmintError
from genmint.common.files import sha256_file, write_json
from genmint.config import GANConfig, RNNConfig, VAEConfig
from genmint.data.prepared import Prepared
from genmint.evaluation import sheets
from genmint.evaluation.probe import PROBE, ProbeOutput, common, draw_probe, read_probe, write_probe
from genmint.evaluation.probe_sheet import write_sheet
from genmint.models.shared import store

pytestmark = pytest.mark.usefixtures("one_thread")

VAE = {"family": "vae", "steps": 1, "hidden": (6,), "latent": 2}
GAN = {"family": "gan", "steps": 1, "hidden": (6,), "latent": 2}
RNN = {"family": "rnn", "steps": 1, "hidden": 6, "embedding": 4}
DEEP = {"family": "vae", "steps": 1, "network": "hierarchical",
        "hierarchy": {"groups": (1, 1), "width": 4, "channels": 2}}  # fmt: skip
CODED = {"family": "vae", "steps": 1, "network": "vq", "hidden": (4,), "codes": 5, "code_width": 2}
FAMILIES = {"vae": VAEConfig, "gan": GANConfig, "rnn": RNNConfig}
CASES = {
    "vae": ("pictures", VAE),
    "hierarchical": ("pictures", DEEP),
    "vq": ("pictures", CODED),
    "gan": ("pictures", GAN),
    "raster": ("pictures", RNN),
    "sound": ("tones", RNN),
    "picture-of-sound": ("tones", VAE),
    "writer": ("prose", RNN),
}


def prepare(root, name, test, **meta):
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "test.npy", test)
    files = {"test.npy": sha256_file(folder / "test.npy")}
    items = {"train": 1, "validation": 1, "test": len(test)}
    write_json(folder / "meta.json", {"dataset": name, "items": items, "files": files, **meta})
    return Prepared(folder)


def pictures(root, test=None):
    if test is None:
        test = np.random.default_rng(0).integers(0, 256, (40, 1, 4, 4), dtype=np.uint8)
    return prepare(root, "pictures", test, kind="image", shape=[1, 4, 4])


def tones(root):
    test = np.random.default_rng(0).normal(0, 3000, (12, 64)).astype(np.int16)
    spectrogram = {"n_fft": 32, "hop": 16, "mels": 4, "dynamic_range": 80.0}
    about = {"kind": "audio", "shape": [64], "sample_rate": 4000, "spectrogram": spectrogram}
    return prepare(root, "tones", test, **about)


def prose(root, *, length=1000, documents=3, first=2):
    rng = np.random.default_rng(0)
    parts = [np.concatenate([[1], rng.integers(first, 7, length)]) for _ in range(documents)]
    vocabulary = ["<unk>", "<s>", *"abcde"]
    stream = np.concatenate(parts).astype(np.uint16)
    return prepare(root, "prose", stream, kind="text", shape=[], vocabulary=vocabulary)


DATA = {"pictures": pictures, "tones": tones, "prose": prose}


def model(prepared, block, seed=0):
    config = FAMILIES[block["family"]](dataset=prepared.path.name, seed=seed, **block)
    return store.build(config, prepared.spec(config.view)).eval()


def drawn(case, root, seed=0):
    dataset, block = CASES[case]
    prepared = DATA[dataset](root)
    return draw_probe(model(prepared, block, seed), prepared)


def parts_of(probe):
    return {name: value for name, value in vars(probe).items() if value is not None}


@pytest.mark.parametrize("case", CASES)
def test_the_same_version_twice_gives_the_same_files(case, tmp_path):
    kept = []
    for turn in ("one", "two"):
        probe, folder = drawn(case, tmp_path / "data"), tmp_path / turn
        folder.mkdir()
        write_probe(folder, probe)
        files = [folder / PROBE, *write_sheet(folder, "probe", [("tiny", probe)])]
        assert sorted(files) == sorted(folder.iterdir())
        kept.append({path.name: path.read_bytes() for path in files})
    assert kept[0] == kept[1]
    expected = {"sound": {"probe.wav"}, "picture-of-sound": {"probe.wav"}, "writer": {"probe.txt"}}
    assert set(kept[0]) == {PROBE, "probe.png"} | expected.get(case, set())


@pytest.mark.parametrize("case", CASES)
def test_two_versions_are_asked_the_same_and_answer_for_themselves(case, tmp_path):
    one, other = drawn(case, tmp_path), drawn(case, tmp_path, seed=1)
    assert one.ids == other.ids
    assert len(set(one.ids)) == len(one.ids) > 1
    assert one.item_ids == other.item_ids
    assert one.prompts == other.prompts
    assert np.array_equal(one.items, other.items)
    for answer in ("grids", "clips", "texts", "reconstructions"):
        found = getattr(one, answer)
        assert found is None or not np.array_equal(found, getattr(other, answer)), answer


def test_a_decoder_that_two_versions_share_draws_the_same(tmp_path):
    """The latents are the same: what differs is what the version makes of them."""
    prepared = pictures(tmp_path)
    one, other = model(prepared, VAE), model(prepared, VAE, seed=1)
    other.decoder.load_state_dict(one.decoder.state_dict())
    first, second = draw_probe(one, prepared), draw_probe(other, prepared)
    assert np.array_equal(first.grids, second.grids)
    assert not np.array_equal(first.reconstructions, second.reconstructions)


def test_points_of_another_latent_space_have_other_ids(tmp_path):
    prepared = pictures(tmp_path)
    wide = draw_probe(model(prepared, {**VAE, "latent": 3}), prepared)
    probe = drawn("vae", tmp_path)
    assert not set(wide.ids) & set(probe.ids)
    assert wide.item_ids == probe.item_ids
    one, other = common(probe, wide)
    assert len(one.grids) == len(other.grids) == len(probe.grids)


def test_items_are_known_by_content_and_not_by_place(tmp_path):
    before = drawn("vae", tmp_path)
    test = np.array(pictures(tmp_path).array("test"))
    more = np.random.default_rng(1).integers(0, 256, (40, 1, 4, 4), dtype=np.uint8)
    grown = pictures(tmp_path, np.concatenate([more, test[::-1], test]))
    after = draw_probe(model(grown, VAE), grown)
    assert len(after.item_ids) == len(set(after.item_ids)) == len(before.item_ids)
    shared = set(before.item_ids) & set(after.item_ids)
    assert 0 < len(shared) < len(before.item_ids)
    for name in shared:
        was, now = (p.items[p.item_ids.index(name)] for p in (before, after))
        assert np.array_equal(was, now)
    one, other = common(before, after)
    assert one.item_ids == other.item_ids
    assert set(one.item_ids) == shared
    assert np.array_equal(one.items, other.items)
    assert len(other.reconstructions) == len(shared)


def test_prompts_are_held_out_text(tmp_path):
    probe = drawn("writer", tmp_path)
    held_out = "".join("  abcde"[i] for i in prose(tmp_path).array("test"))
    assert len(set(probe.prompts)) == 4
    assert all(prompt in held_out and " " not in prompt for prompt in probe.prompts)
    assert {len(text) for text in probe.texts} == {320}


@pytest.mark.parametrize("about", [{"length": 30, "documents": 2}, {"first": 0}])
def test_a_text_without_a_clean_piece_has_one_prompt(tmp_path, about):
    prepared = prose(tmp_path, **about)
    probe = draw_probe(model(prepared, RNN), prepared)
    assert len(probe.ids) == len(probe.prompts) == len(probe.texts) == 1


@pytest.mark.parametrize("case", CASES)
def test_what_is_written_is_read_back(case, tmp_path):
    probe = drawn(case, tmp_path / "data")
    write_probe(tmp_path, probe)
    found = read_probe(tmp_path / PROBE)
    assert found.kind == probe.kind
    assert parts_of(found).keys() == parts_of(probe).keys()
    for name, value in parts_of(probe).items():
        assert np.array_equal(getattr(found, name), value), name


@pytest.mark.parametrize("content", [b"", b"PK no zip", b"\x93NUMPY"])
def test_a_damaged_file_is_an_error_that_says_so(tmp_path, content):
    path = tmp_path / "tiny" / PROBE
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(GenmintError, match=r"not a probe set.*evaluate@tiny"):
        read_probe(path)


def test_an_archive_of_something_else_is_an_error(tmp_path):
    np.savez(tmp_path / PROBE, weights=np.zeros(3))
    with pytest.raises(GenmintError, match="not a probe set"):
        read_probe(tmp_path / PROBE)
    with pytest.raises(GenmintError, match="no such file"):
        read_probe(tmp_path / "missing.npz")


def test_two_versions_side_by_side_are_their_two_sheets(tmp_path):
    one, other = drawn("vae", tmp_path / "data"), drawn("vae", tmp_path / "data", seed=1)
    write_sheet(tmp_path, "one", [("first", one)])
    write_sheet(tmp_path, "other", [("second", other)])
    write_sheet(tmp_path, "both", [("first", one), ("second", other)])
    left, right, both = (
        np.array(Image.open(tmp_path / f"{name}.png")) for name in ("one", "other", "both")
    )
    assert np.array_equal(both[:, : left.shape[1]], left)
    assert np.array_equal(both[:, -right.shape[1] :], right)


def test_the_ids_stand_on_the_sheet(tmp_path):
    probe = drawn("gan", tmp_path / "data")
    renamed = replace(probe, ids=tuple(f"{each}9" for each in probe.ids))
    pictures_of = []
    for case in (probe, renamed):
        write_sheet(tmp_path, "probe", [("tiny", case)])
        pictures_of.append(np.array(Image.open(tmp_path / "probe.png")))
    assert pictures_of[0].shape == pictures_of[1].shape
    assert not np.array_equal(*pictures_of)


def test_the_strip_has_the_clips_of_both_in_turn(tmp_path):
    clips = np.stack([np.full(4, level, dtype=np.int16) for level in (1, 2, 3)])
    grids = np.zeros((3, 1, 4, 4), dtype=np.uint8)
    one = ProbeOutput(("d/1/u4/0", "d/1/u4/1", "d/1/u4/2"), grids=grids, clips=clips, rate=10)
    other = replace(one, clips=10 * clips)
    write_sheet(tmp_path, "both", [("a", one), ("b", other)])
    with wave.open(str(tmp_path / "both.wav")) as stream:
        heard = np.frombuffer(stream.readframes(1000), "<i2")
    assert [int(level) for level in heard[heard > 0][::4]] == [1, 10, 2, 20, 3, 30]


def test_the_text_has_prompt_and_both_answers(tmp_path):
    one = ProbeOutput(("d/1/x1",), prompts=("Once upon",), texts=(" a time",))
    write_sheet(tmp_path, "both", [("old", one), ("new", replace(one, texts=(" a mat",)))])
    found = (tmp_path / "both.txt").read_text()
    assert found.index("old") < found.index(" a time") < found.index("new") < found.index(" a mat")
    assert found.count("d/1/x1") == found.count("Once upon") == 2


def test_a_text_sheet_sets_the_prompt_in_its_own_colour():
    plain = sheets.text_sheet(["answer"], captions=["x1"])
    given = sheets.text_sheet(["answer"], captions=["x1"], prompts=["question"])
    assert given.height > plain.height
    assert sheets._GIVEN in {colour for _, colour in given.getcolors(1 << 20)}
    assert sheets._GIVEN not in {colour for _, colour in plain.getcolors(1 << 20)}


def test_a_probe_is_json_free_of_pickles(tmp_path):
    write_probe(tmp_path, drawn("writer", tmp_path / "data"))
    with np.load(tmp_path / PROBE, allow_pickle=False) as stored:
        assert json.dumps(sorted(stored.files)) == '["ids", "item_ids", "prompts", "texts"]'
