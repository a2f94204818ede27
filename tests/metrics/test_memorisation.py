import numpy as np
import pytest
import torch

from genmint.errors import DataError
from genmint.metrics import memorisation
from genmint.metrics.memorisation import closeness, copied_grids, copied_texts


@pytest.fixture(scope="module")
def blobs():
    """600 pictures of one soft spot somewhere, with noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:12, :12]
    centres = rng.uniform(2, 10, (600, 2))
    squared = (y - centres[:, :1, None]) ** 2 + (x - centres[:, 1:, None]) ** 2
    grids = 220 * np.exp(-squared / 8) + rng.uniform(0, 20, (600, 12, 12))
    return torch.from_numpy(grids.astype(np.uint8))[:, None]


def test_replayed_items_are_detected_and_held_out_items_pass(blobs):
    train, held_out, fresh = blobs[:300], blobs[300:450], blobs[450:]
    assert copied_grids(train[:100], train, held_out, seed=0) == 1.0
    assert copied_grids(fresh, train, held_out, seed=0) < 0.06


def test_replayed_items_with_slight_noise_are_detected(blobs):
    train, held_out = blobs[:300], blobs[300:450]
    noise = torch.randint(0, 4, (100, 1, 12, 12), dtype=torch.uint8)
    assert copied_grids(train[:100] + noise, train, held_out, seed=0) > 0.95


def test_the_share_counts_the_copies(blobs):
    train, held_out = blobs[:300], blobs[300:450]
    mixed = torch.cat([train[:30], held_out[:70]])
    assert copied_grids(mixed, train, held_out, seed=0) == pytest.approx(0.3, abs=0.03)


def test_a_mean_picture_is_no_copy(blobs):
    train, held_out = blobs[:300], blobs[300:450]
    mean = train.float().mean(dim=0, keepdim=True).to(torch.uint8)
    assert copied_grids(mean, train, held_out, seed=0) == 0.0


def test_exact_copies_count_even_where_held_out_items_are_copies_too(blobs):
    train = blobs[:100]
    assert copied_grids(train[:10], train, train, seed=0) == 1.0


def test_a_set_of_one_picture_is_all_copies():
    same = torch.full((20, 1, 8, 8), 7, dtype=torch.uint8)
    assert copied_grids(same[:3], same, same, seed=0) == 1.0


def test_closeness_by_hand():
    train = torch.tensor([0, 3, 10], dtype=torch.uint8).reshape(3, 1, 1, 1)
    items = torch.tensor([0, 2], dtype=torch.uint8).reshape(2, 1, 1, 1)
    assert closeness(items, train) == pytest.approx([0.0, 1 / ((2 + 1 + 8) / 3)])


def test_large_pictures_are_compared_exactly(monkeypatch):
    rng = np.random.default_rng(0)
    train = torch.from_numpy(rng.integers(200, 256, (60, 3, 64, 64), dtype=np.uint8))
    monkeypatch.setattr(memorisation, "_CELLS", 1)
    assert (closeness(train[:5], train) == 0).all()


def test_too_little_data_is_refused(blobs):
    with pytest.raises(DataError, match="two training items"):
        copied_grids(blobs[:3], blobs[:1], blobs[:3], seed=0)


@pytest.fixture(scope="module")
def text():
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(np.full(12, 0.3), 12).cumsum(axis=1)
    stream = [0]
    for level in rng.random(12_000):
        stream.append(int((level > transition[stream[-1]]).sum().clip(max=11)))
    return np.array(stream, dtype=np.uint16)


def test_replayed_text_is_detected_and_held_out_text_passes(text):
    train, held_out, fresh = text[:8000], text[8000:10_000], text[10_000:12_000]
    replayed = train[500:1500].reshape(10, 100)
    assert copied_texts(replayed, train, held_out) == (1.0, 100)
    share, longest = copied_texts(fresh.reshape(20, 100), train, held_out)
    assert share <= 0.2
    assert longest < 60


def test_a_copied_passage_inside_a_new_text_is_found(text):
    train, held_out = text[:8000], text[8000:10_000]
    sample = np.concatenate([held_out[:30], train[4000:4060], held_out[30:40]])
    assert copied_texts(sample[None], train, held_out) == (1.0, pytest.approx(60, abs=10))


def test_longest_run_is_what_a_search_finds(text):
    train, sample = text[:2000], text[10_000:10_080]

    def occurs(run):
        windows = np.lib.stride_tricks.sliding_window_view(train, len(run))
        return (windows == run).all(axis=1).any()

    longest = max(n for n in range(1, 80) for i in range(80 - n + 1) if occurs(sample[i : i + n]))
    assert memorisation._Text(train).longest_run(sample) == longest


def test_a_test_split_shorter_than_a_sample_is_refused(text):
    with pytest.raises(DataError, match=r"protocol\.sample_length"):
        copied_texts(text[:200].reshape(1, 200), text, text[:100])
