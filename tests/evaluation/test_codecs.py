"""Codec baselines: code lengths of the very test items, per dimension, sample or character."""

import math

import numpy as np
import pytest
import torch

from genmint.data.prepared import Prepared
from genmint.evaluation import codecs
from genmint.metrics.codecs import flac_bits, png_bits, webp_bits, webp_mosaic_bits, xz_bits

GRIDS = torch.randint(0, 256, (9, 3, 8, 8), dtype=torch.uint8)


class Set(Prepared):
    """A prepared set that consists of one test split."""

    def __init__(self, spec, test):
        super().__init__("nowhere")
        object.__setattr__(self, "parts", (spec, test))

    def spec(self, view):
        assert view == "sequence"
        return self.parts[0]


@pytest.fixture
def sequence(monkeypatch):
    """The codecs of a test split in the view of sequence models."""

    def run(kind, test, symbols=256):
        spec = type("Spec", (), {"kind": kind, "symbols": symbols, "sample_rate": 8000})
        monkeypatch.setattr(codecs.tensors, "load", lambda *_: torch.from_numpy(test))
        return codecs.sequence_codecs(Set(spec, test))

    return run


def test_grids_are_coded_per_dimension_with_an_error_over_items():
    table = codecs.grid_codecs(GRIDS)["bits_per_dim"]
    assert list(table) == ["png", "webp", "webp_mosaic"]
    for name, sizes in (("png", png_bits), ("webp", webp_bits)):
        bits = sizes(GRIDS.numpy()) / (3 * 8 * 8)
        assert table[name].value == pytest.approx(bits.mean())
        assert table[name].stderr == pytest.approx(bits.std(ddof=1) / 3)
    mosaic = webp_mosaic_bits(GRIDS.numpy())
    assert table["webp_mosaic"].value == pytest.approx(mosaic / GRIDS.numel())
    assert table["webp_mosaic"].stderr is None
    assert {entry.observation for entry in table.values()} == {"8bit"}


@pytest.mark.parametrize("channels", [2, 4])
def test_images_of_other_channels_than_grey_or_rgb_have_no_codec(channels):
    assert codecs.grid_codecs(GRIDS[:, :1].repeat(1, channels, 1, 1)) == {}


def test_of_a_large_split_evenly_spaced_items_are_coded_and_there_is_no_mosaic(monkeypatch):
    monkeypatch.setattr(codecs, "_VALUES", 3 * GRIDS[0].numel())
    coded = []
    monkeypatch.setattr(codecs, "png_bits", lambda grids: (coded.append(grids), png_bits(grids))[1])
    table = codecs.grid_codecs(GRIDS)["bits_per_dim"]
    assert list(table) == ["png", "webp"]
    assert (coded[0] == GRIDS[[0, 4, 8]].numpy()).all()


def test_without_webp_png_remains(monkeypatch):
    monkeypatch.setattr(codecs.features, "check", lambda _: False)
    assert list(codecs.grid_codecs(GRIDS)["bits_per_dim"]) == ["png"]


def test_clips_are_coded_one_by_one_in_the_symbols_of_the_model(sequence):
    clips = np.random.default_rng(0).integers(0, 256, (4, 300), dtype=np.uint8)
    table = sequence("audio", clips)["bits_per_sample"]
    assert list(table) == ["flac", "xz"]
    assert table["flac"].value == pytest.approx(flac_bits(clips, 8000).mean() / 300)
    single = [xz_bits(clip) / 300 for clip in clips]
    assert table["xz"].value == pytest.approx(np.mean(single))
    assert table["xz"].stderr == pytest.approx(np.std(single, ddof=1) / 2)


def test_a_text_is_coded_as_one_file_without_its_document_boundaries(sequence):
    text = np.random.default_rng(0).integers(2, 20, 3000)
    whole = xz_bits(text) / len(text)
    table = sequence("text", np.concatenate([[1], text]), symbols=20)
    assert table["bits_per_character"]["xz"].value == pytest.approx(whole)
    split = np.concatenate([[1], text[:1000], [1], text[1000:]])
    table = sequence("text", split, symbols=20)
    assert table["bits_per_character"]["xz"].value == pytest.approx(whole)
    assert table["bits_per_character"]["xz"].stderr is None


def test_an_unknown_character_costs_the_choice_among_all_others(sequence):
    text = np.random.default_rng(0).integers(2, 20, 3000)
    text[::100] = 0
    table = sequence("text", np.concatenate([[1], text]), symbols=20)
    others = 30 * math.log2(0x110000 - 0x800 - 18)
    assert table["bits_per_character"]["xz"].value == pytest.approx(
        (xz_bits(text) + others) / len(text)
    )


def test_images_in_raster_order_have_the_codecs_of_grids(sequence):
    assert sequence("image", np.zeros((2, 64), np.uint8)) == {}
