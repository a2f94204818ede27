import json

import numpy as np
import pytest
import torch

from genmint.common.errors import ConfigError, DataError, GenmintError
from genmint.common.files import sha256_file, write_json
from genmint.config import Spectrogram, TextDataset, parse_model
from genmint.data.packing import Segment, pack_text
from genmint.data.prepared import SPLITS, Meta, Prepared
from genmint.data.views import mulaw, tensors
from genmint.proposal.sizing import spec_of


@pytest.fixture
def pack(tmp_path):
    def write(kind, array, shape, **meta):
        folder = tmp_path / kind
        folder.mkdir()
        for split in SPLITS:
            np.save(folder / f"{split}.npy", array)
        files = {path.name: sha256_file(path) for path in folder.glob("*.npy")}
        items = dict.fromkeys(SPLITS, len(array))
        write_json(
            folder / "meta.json",
            {"dataset": kind, "kind": kind, "items": items, "shape": shape, "files": files, **meta},
        )
        return Prepared(folder)

    return write


def test_a_grid_of_images_is_the_images(pack):
    images = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    prepared = pack("image", images, [3, 4, 5])
    spec = prepared.spec("grid")
    assert spec.shape == (3, 4, 5)
    assert torch.equal(tensors.load(prepared, "train", spec), torch.from_numpy(images))


def test_many_images_stay_in_their_file_which_is_not_written_to(pack, monkeypatch):
    monkeypatch.setattr(tensors, "_IN_MEMORY", 0)
    images = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    prepared = pack("image", images, [3, 4, 5])
    loaded = tensors.load(prepared, "train", prepared.spec("grid"))
    assert torch.equal(loaded, torch.from_numpy(images))
    loaded += 1
    prepared.check()


def test_clips_are_encoded_in_parts(pack, monkeypatch):
    clips = np.random.default_rng(0).integers(-32768, 32768, (7, 50), dtype=np.int16)
    prepared = pack("audio", clips, [50], sample_rate=8000)
    spec = prepared.spec("sequence")
    whole = tensors.load(prepared, "train", spec)
    monkeypatch.setattr(tensors, "_SAMPLES", 120)
    assert torch.equal(tensors.load(prepared, "train", spec), whole)


def test_an_image_read_in_raster_order_comes_back(pack):
    images = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    prepared = pack("image", images, [3, 4, 5])
    spec = prepared.spec("sequence")
    symbols = tensors.load(prepared, "test", spec)
    assert symbols.shape == (2, 60)
    # The three channels of the first pixel stand side by side.
    assert symbols[0, :3].tolist() == images[0, :, 0, 0].tolist()
    back = tensors.from_symbols(symbols.to(torch.int64), spec)
    assert torch.equal(back, torch.from_numpy(images))


def test_sound_as_a_sequence_comes_back_as_mulaw_says(pack):
    clips = np.random.default_rng(0).integers(-32768, 32768, (3, 100)).astype(np.int16)
    prepared = pack("audio", clips, [100], sample_rate=8000)
    spec = prepared.spec("sequence")
    assert (spec.symbols, spec.shape) == (256, (100,))
    symbols = tensors.load(prepared, "train", spec)
    assert symbols.dtype == torch.uint8
    expected = mulaw.decode(mulaw.encode(torch.from_numpy(clips)))
    assert torch.equal(tensors.from_symbols(symbols.to(torch.int64), spec), expected)


def test_the_grid_of_sound_has_the_shape_that_its_spec_says(pack):
    clips = np.zeros((2, 1000), np.int16)
    settings = Spectrogram(n_fft=128, hop=32, mels=16)
    prepared = pack(
        "audio", clips, [1000], sample_rate=8000, spectrogram=settings.model_dump(mode="json")
    )
    spec = prepared.spec("grid")
    assert tuple(tensors.load(prepared, "train", spec).shape[1:]) == spec.shape == (1, 16, 32)
    assert spec.samples == 1000


def test_text_is_a_stream_and_reads_as_text(pack):
    vocabulary = ["<unk>", "<s>", "a", "b"]
    stream = np.array([1, 2, 3, 1, 3, 0], np.uint16)
    prepared = pack("text", stream, [], vocabulary=vocabulary)
    spec = prepared.spec("sequence")
    assert (spec.symbols, spec.shape) == (4, ())
    symbols = tensors.load(prepared, "train", spec)
    assert symbols.dtype == torch.int64
    assert tensors.from_symbols(symbols[None], spec) == ["\nab\nb\ufffd"]


def test_text_has_no_grid(pack):
    prepared = pack("text", np.zeros(3, np.uint16), [], vocabulary=["<unk>", "<s>"])
    with pytest.raises(DataError, match="which has no grid"):
        prepared.spec("grid")


def test_what_is_not_prepared_names_the_command(tmp_path):
    with pytest.raises(GenmintError, match="dvc repro prepare@digits"):
        _ = Prepared(tmp_path / "digits").meta


def test_a_changed_array_is_noticed(pack):
    prepared = pack("image", np.zeros((2, 1, 4, 4), np.uint8), [1, 4, 4])
    prepared.check()
    array = np.load(prepared.path / "test.npy")
    array[0, 0, 0, 0] = 1
    np.save(prepared.path / "test.npy", array)
    with pytest.raises(DataError, match=r"test\.npy: missing or changed"):
        prepared.check()


def test_labels_are_for_conditional_models_alone(pack):
    images = np.zeros((4, 1, 8, 8), dtype=np.uint8)
    prepared = pack("image", images, [1, 8, 8])
    block = {"family": "vae", "dataset": "image", "steps": 1}
    asks = parse_model({**block, "conditional": True})
    with pytest.raises(DataError, match=r"no labels of items.*datasets\.image\.labels.*or set"):
        tensors.labels_for(asks, prepared, "train")
    meta = json.loads((prepared.path / "meta.json").read_text())
    write_json(prepared.path / "meta.json", {**meta, "labels": ["a", "b"]})
    np.save(prepared.path / "train.labels.npy", np.array([1, 0, 0, 1]))
    labelled = Prepared(prepared.path)
    assert tensors.labels_for(asks, labelled, "train").tolist() == [1, 0, 0, 1]
    assert tensors.labels_for(parse_model(block), labelled, "train") is None


def test_labels_of_documents_are_not_those_of_items(pack):
    about = {"vocabulary": ["<unk>", "<s>", "a"], "labels": ["x", "y"]}
    prepared = pack("text", np.array([1, 2, 2], dtype=np.uint16), [], **about)
    asks = parse_model({"family": "rnn", "dataset": "text", "steps": 1, "conditional": True})
    with pytest.raises(DataError, match="no labels of items"):
        tensors.labels_for(asks, prepared, "train")


@pytest.mark.parametrize("known", ["", "a", "abcü", "zyxwcba😀", "abcü😀 "])
def test_a_held_out_text_is_read_in_any_vocabulary(tmp_path, known):
    """What the vocabulary of the data lacks is not lost: another one may have it."""
    text = "abc ü😀 cab\nüx"
    (tmp_path / "a.txt").write_text(text)
    segments = {split: [Segment(tmp_path / "a.txt", 0, len(text))] for split in SPLITS}
    files = pack_text(tmp_path, segments, ("<unk>", "<s>", "a", "b", "x"))
    meta = Meta(
        dataset="d", kind="text", items=dict.fromkeys(SPLITS, 1), shape=(),
        vocabulary=("<unk>", "<s>", "a", "b", "x"), files=files,
    )  # fmt: skip
    write_json(tmp_path / "meta.json", meta.as_json())
    prepared = Prepared(tmp_path)
    assert "".join(map(chr, prepared.codes("test")[1:])) == text
    spec = prepared.spec("sequence")
    vocabulary = ("<unk>", "<s>", *known)
    other = spec.model_copy(update={"vocabulary": vocabulary, "symbols": len(vocabulary)})
    found = tensors.load(prepared, "test", other).tolist()
    wanted = [vocabulary.index(one) if one in known else 0 for one in text]
    assert found == [1, *wanted]


def test_a_long_vocabulary_is_cut_in_the_message():
    characters = [chr(0x4E00 + number) for number in range(3000)]
    spec = spec_of("novel", TextDataset(path="novel", kind="text"), "sequence", symbols=3000)
    assert torch.equal(tensors.to_symbols(characters[7], spec), torch.tensor([9]))
    with pytest.raises(ConfigError, match=r"'x' \(U\+0078\): not in .*… \(3000 char") as caught:
        tensors.to_symbols("x", spec)
    assert len(str(caught.value)) < 400
