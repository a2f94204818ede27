import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu, norm

from genmint.common.errors import DataError
from genmint.metrics import memorisation
from genmint.metrics.memorisation import copying_z, grid_memorisation, nearest


@pytest.fixture(scope="module")
def blobs():
    """600 pictures of one soft spot somewhere, with noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:12, :12]
    centres = rng.uniform(2, 10, (600, 2))
    squared = (y - centres[:, :1, None]) ** 2 + (x - centres[:, 1:, None]) ** 2
    grids = 220 * np.exp(-squared / 8) + rng.uniform(0, 20, (600, 12, 12))
    return torch.from_numpy(grids.astype(np.uint8))[:, None]


def judged(samples, train, held_out, seed=0):
    return grid_memorisation(samples, train, held_out, seed=seed)


def test_replayed_items_are_detected_and_held_out_items_pass(blobs):
    train, held_out, fresh = blobs[:300], blobs[300:450], blobs[450:]
    replayed = judged(train[:100], train, held_out)
    assert replayed["copied"] == replayed["near_duplicates"] == 1.0
    assert replayed["authenticity"] == 0.0
    # No sample is as far away as a held-out item, U = 0, and all of them are at the same distance.
    expected = -100 * 150 / 2 / np.sqrt(100 * 150 / 12 * (251 - (100**3 - 100) / (250 * 249)))
    assert replayed["copying_z"] == pytest.approx(expected)
    honest = judged(fresh, train, held_out)
    assert honest["copied"] < 0.06
    assert honest["near_duplicates"] < 0.03
    assert honest["authenticity"] == pytest.approx(0.5, abs=0.12)
    assert abs(honest["copying_z"]) < 3


def test_replayed_items_with_slight_noise_are_detected(blobs):
    train, held_out = blobs[:300], blobs[300:450]
    noise = torch.randint(0, 4, (100, 1, 12, 12), dtype=torch.uint8)
    found = judged(train[:100] + noise, train, held_out)
    assert found["copied"] > 0.95
    assert found["near_duplicates"] > 0.95
    assert found["authenticity"] < 0.05
    assert found["copying_z"] < -10


def test_copies_of_items_that_have_near_duplicates_are_detected(blobs):
    """Twenty takes of each of fifteen items: by themselves each take hides the others."""
    rng = torch.Generator().manual_seed(0)
    takes = blobs[:15].repeat_interleave(20, dim=0)
    noise = torch.randint(0, 6, takes.shape, dtype=torch.uint8, generator=rng)
    train, groups = takes + noise, np.repeat(np.arange(15), 20)
    copies = train[::20] + torch.randint(0, 6, (15, 1, 12, 12), dtype=torch.uint8, generator=rng)
    blind = judged(copies, train, blobs[300:450])
    assert blind["near_duplicates"] == 0.0
    seen = grid_memorisation(copies, train, blobs[300:450], seed=0, groups=groups)
    assert seen["near_duplicates"] > 0.9
    assert seen["authenticity"] < 0.1
    honest = grid_memorisation(blobs[450:], train, blobs[300:450], seed=0, groups=groups)
    # The nearest of fifteen is far away: honest samples are within half of that now and then.
    assert honest["near_duplicates"] < 0.2
    alone = grid_memorisation(blobs[450:], blobs[:300], blobs[300:450], seed=0)
    each = np.arange(300)
    assert alone == grid_memorisation(blobs[450:], blobs[:300], blobs[300:450], seed=0, groups=each)


def test_of_many_samples_the_first_are_looked_at(blobs, monkeypatch):
    train, held_out = blobs[:300], blobs[300:400]
    first = judged(blobs[400:500], train, held_out)
    monkeypatch.setattr(memorisation, "_ENOUGH", 100)
    assert judged(torch.cat([blobs[400:500], train]), train, held_out) == first


def test_the_share_counts_the_copies(blobs):
    train, held_out = blobs[:300], blobs[300:450]
    mixed = torch.cat([train[:30], held_out[:70]])
    found = judged(mixed, train, held_out)
    assert found["copied"] == pytest.approx(0.3, abs=0.03)
    assert found["copied_stderr"] == pytest.approx(np.sqrt(0.3 * 0.7 / 100), rel=0.1)
    assert found["near_duplicates"] == pytest.approx(0.3, abs=0.03)
    assert found["copying_z"] < -2


def test_a_mean_image_is_no_copy(blobs):
    train, held_out = blobs[:300], blobs[300:450]
    mean = train.float().mean(dim=0, keepdim=True).to(torch.uint8)
    found = judged(mean, train, held_out)
    assert found["copied"] == 0.0
    assert found["copying_z"] > 0


def test_exact_copies_count_even_where_held_out_items_are_copies_too(blobs):
    train = blobs[:100]
    assert judged(train[:10], train, train)["copied"] == 1.0


def test_a_set_of_one_image_is_all_copies():
    same = torch.full((20, 1, 8, 8), 7, dtype=torch.uint8)
    found = judged(same[:3], same, same)
    assert found["copied"] == found["near_duplicates"] == 1.0
    assert found["authenticity"] == found["copying_z"] == 0.0
    other = judged(same[:3] + 1, same, same)
    assert other["copied"] == other["near_duplicates"] == 0.0
    assert other["authenticity"] == 1.0


def test_closeness_by_hand():
    train = torch.tensor([0, 3, 10], dtype=torch.uint8).reshape(3, 1, 1, 1)
    items = torch.tensor([0, 2], dtype=torch.uint8).reshape(2, 1, 1, 1)
    assert nearest(items, train).closeness() == pytest.approx([0.0, 1 / ((2 + 1 + 8) / 3)])


def test_large_images_are_compared_exactly(monkeypatch):
    rng = np.random.default_rng(0)
    train = torch.from_numpy(rng.integers(200, 256, (60, 3, 64, 64), dtype=np.uint8))
    monkeypatch.setattr(memorisation, "_CELLS", 1)
    assert (nearest(train[:5], train).closeness() == 0).all()


def test_too_little_data_is_refused(blobs):
    with pytest.raises(DataError, match="two training items"):
        judged(blobs[:3], blobs[:1], blobs[:3])
    with pytest.raises(DataError, match="a held-out one"):
        judged(blobs[:3], blobs[:5], blobs[:0])
    with pytest.raises(DataError, match="a sample"):
        judged(blobs[:0], blobs[:5], blobs[:3])


def test_one_sample_has_an_answer(blobs):
    found = judged(blobs[:1], blobs[:300], blobs[300:450])
    assert found["copied"] == 1.0
    assert all(np.isfinite(value) for value in found.values())


def naive(samples, train):
    """Alaa et al.: is a sample further from its nearest training item than that from the next?"""
    distance = cdist(samples, train)
    others = cdist(train, train)
    np.fill_diagonal(others, np.inf)
    nearest_item, nearest_distance = distance.argmin(axis=1), distance.min(axis=1)
    apart = others.min(axis=1)[nearest_item]
    return (nearest_distance > apart).mean(), (nearest_distance < apart / 2).mean()


def test_authenticity_and_near_duplicates_are_their_definitions(blobs):
    train, fresh = blobs[:300], blobs[450:]
    noise = torch.rand(150, 1, 12, 12) * torch.linspace(1, 30, 150)[:, None, None, None]
    noisy = torch.cat([fresh, train[:150] + noise.to(torch.uint8)])
    found = judged(noisy, train, blobs[300:450])
    flat = (noisy.flatten(1).double().numpy(), train.flatten(1).double().numpy())
    assert (found["authenticity"], found["near_duplicates"]) == pytest.approx(naive(*flat))
    assert 0.1 < found["near_duplicates"] < 0.9


def test_a_training_item_that_occurs_twice_hides_no_copy(blobs):
    train = torch.cat([blobs[:300], blobs[:300]])
    noise = torch.randint(0, 4, (100, 1, 12, 12), dtype=torch.uint8)
    once, twice = (
        judged(blobs[:100] + noise, known, blobs[300:450]) for known in (blobs[:300], train)
    )
    assert once == twice


@pytest.mark.parametrize("step", [1e-6, 0.2])
def test_the_z_score_is_that_of_mann_and_whitney(step):
    """With and without ties, against scipy's p-value."""
    rng = np.random.default_rng(0)
    a, b = (np.round(rng.normal(shift, 1, n) / step) * step for shift, n in ((0.3, 60), (0, 90)))
    expected = mannwhitneyu(a, b, use_continuity=False, method="asymptotic").pvalue
    z = copying_z(a, b)
    assert z > 0
    assert 2 * norm.sf(z) == pytest.approx(expected, rel=1e-9)
    assert copying_z(b, a) == pytest.approx(-z)


def test_the_z_score_of_equal_distributions_is_standard_normal():
    rng = np.random.default_rng(0)
    found = [copying_z(rng.random(40), rng.random(70)) for _ in range(1000)]
    assert abs(np.mean(found)) < 0.1
    assert np.std(found) == pytest.approx(1, abs=0.07)


def test_nothing_to_rank_is_no_evidence():
    assert copying_z(np.ones(5), np.ones(9)) == 0.0
