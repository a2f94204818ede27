"""Large items are computed with in parts, and give what they give as a whole."""

import numpy as np
import pytest
import torch

from genmint.config.datasets import Spectrogram
from genmint.data.views import spectrogram
from genmint.evaluation import extractor, extractor_training
from genmint.metrics import memorisation, ngram, pitch, pixels
from genmint.models.gan import distances
from genmint.models.shared import blocks


@pytest.fixture
def grids():
    values = np.random.default_rng(0).integers(0, 256, (60, 3, 9, 9), dtype=np.uint8)
    values[7] = values[3]
    return torch.from_numpy(values)


def near(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


def test_nearest_training_items(grids, monkeypatch):
    samples = torch.cat([grids[:2], 255 - grids[:10]])
    groups = np.arange(40)
    groups[[5, 9, 11]] = 5
    for known in (None, groups):
        arguments = (samples, grids[:40], grids[40:])
        whole = memorisation.grid_memorisation(*arguments, seed=0, groups=known)
        with monkeypatch.context() as patch:
            patch.setattr(memorisation, "_NUMBERS", 1000)
            patch.setattr(memorisation, "_CELLS", 500)
            near(memorisation.grid_memorisation(*arguments, seed=0, groups=known), whole)


def test_pixels(grids, monkeypatch):
    whole = pixels.pixel_bernoulli(grids, grids, 0), pixels.pixel_moments(grids)
    monkeypatch.setattr(pixels, "_NUMBERS", 2000)
    assert pixels.pixel_bernoulli(grids, grids, 0) == pytest.approx(whole[0])
    for part, value in zip(pixels.pixel_moments(grids), whole[1], strict=True):
        assert part.shape == grids.shape[1:]
        assert torch.allclose(part, value, atol=1e-3)
    noise = pixels.mean_plus_noise(grids, 50, 0)
    assert noise.shape == (50, 3, 9, 9)
    assert len(noise.flatten(1).unique(dim=0)) == 50


def test_counts_of_symbols(monkeypatch):
    rows = np.random.default_rng(0).integers(0, 5, (40, 30))
    whole = ngram.NGram(2, 5).fit(rows).nats(rows).sum(axis=1)
    monkeypatch.setattr(ngram, "_SYMBOLS", 100)
    assert ngram.NGram(2, 5).fit(rows).totals(rows) == pytest.approx(whole, abs=1e-12)


def test_extractor(grids, monkeypatch):
    def trained():
        items = extractor_training.Examples(grids, None)
        subject = extractor_training.Subject("rotation", 4)
        return extractor_training.train_extractor(items, items, subject, epochs=1, seed=0)

    whole = trained()
    features = whole.features(grids)
    monkeypatch.setattr(extractor, "_PART_PIXELS", 81 * 7)
    assert whole.features(grids) == pytest.approx(features, abs=1e-5)
    # Batches are smaller too, so that the weights differ.
    parted = trained()
    chosen = torch.tensor([50, 3, 41, 0])
    joined = parted.features_at([grids[:40], grids[40:]], chosen)
    assert joined == pytest.approx(parted.features(grids[chosen]), abs=1e-5)
    told = parted.probabilities_at([grids[:40], grids[40:]], chosen)
    assert told == pytest.approx(parted.probabilities(grids[chosen]), abs=1e-5)


def test_distances_of_a_gan(grids, monkeypatch):
    real, fake = grids[:20], grids[20:]
    whole = distances.coverage(real, fake), distances.sliced_wasserstein(real, fake, seed=0)
    monkeypatch.setattr(distances, "_NUMBERS", 500)
    assert distances.coverage(real, fake) == whole[0]
    assert torch.allclose(distances.sliced_wasserstein(real, fake, seed=0), whole[1], atol=1e-6)


def test_sound(monkeypatch):
    settings = Spectrogram(n_fft=64, hop=32, mels=8)
    clips = torch.from_numpy(np.random.default_rng(0).normal(0, 3000, (9, 1000)).astype(np.int16))
    pictures = spectrogram.to_grid(clips, settings, 4000)
    sound = spectrogram.to_sound(pictures, settings, 4000, 1000, iterations=2)
    heard = pitch.fundamentals(clips.numpy(), 4000)
    monkeypatch.setattr(spectrogram, "_SAMPLES", 3000)
    monkeypatch.setattr(pitch, "_SAMPLES", 2000)
    assert torch.equal(spectrogram.to_grid(clips, settings, 4000), pictures)
    again = spectrogram.to_sound(pictures, settings, 4000, 1000, iterations=2)
    assert (again.int() - sound.int()).abs().max() <= 1
    np.testing.assert_array_equal(pitch.fundamentals(clips.numpy(), 4000), heard)


@pytest.mark.parametrize(
    ("shape", "rows"), [((1, 128, 128), 64), ((3, 256, 256), 16), ((3, 2048, 2048), 1), ((), 64)]
)
def test_a_pass_of_a_model_has_fewer_rows_of_large_grids(shape, rows):
    assert blocks.rows_of(shape) == rows
    data = torch.arange(70)
    parts = [(part, len(block)) for part, block in blocks.in_blocks(data, data.device, rows)]
    assert {size for _, size in parts} == {min(rows, 70)}
    assert torch.equal(torch.cat([data[part] for part, _ in parts]), data)
