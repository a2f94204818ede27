import pytest
import torch

from genmint.models.gan.distances import coverage, sliced_wasserstein


def pixels(n, *shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, *shape), generator=generator, dtype=torch.uint8)


def test_sliced_wasserstein_is_zero_for_equal_sets_and_grows_with_the_shift():
    real = pixels(64, 1, 4, 4)
    shuffled = real[torch.randperm(64)]
    assert float(sliced_wasserstein(real, shuffled, seed=0)) == pytest.approx(0, abs=1e-6)
    near = real.float().add(10).clamp(max=255).to(torch.uint8)
    far = real.float().add(60).clamp(max=255).to(torch.uint8)
    assert sliced_wasserstein(real, near, seed=0) < sliced_wasserstein(real, far, seed=0)


def test_sliced_wasserstein_of_one_pixel_is_the_plain_distance():
    """In one dimension every direction is ±1, so it is the distance of the sorted values."""
    real = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    fake = torch.tensor([255, 0, 0, 102, 102, 255], dtype=torch.uint8).view(6, 1, 1, 1)
    # Sorted: 0 0 102 102 255 255 against 0 0 51 51 255 255.
    assert float(sliced_wasserstein(real, fake, seed=0)) == pytest.approx(2 * 51 / 255 / 6)


def modes(k=8, of=16):
    """k far corners of a small cube of pixels, with `of` different items around each."""
    corners = torch.cartesian_prod(*[torch.tensor([20, 220])] * 3)[:k]
    around = pixels(k * of, 3).long() % 12
    return (corners.repeat_interleave(of, dim=0) + around).to(torch.uint8).view(-1, 3, 1, 1)


def test_coverage_of_the_data_itself_is_one():
    real = modes()
    assert coverage(real, real) == 1
    assert coverage(real, real[torch.randperm(len(real))]) == 1


@pytest.mark.parametrize("found", [1, 3, 8])
def test_coverage_is_the_share_of_the_modes_that_are_found(found):
    real = modes()
    assert coverage(real, real[: 16 * found].repeat(3, 1, 1, 1)) == found / 8


def test_coverage_of_samples_like_the_data_is_that_of_the_paper():
    real, fake = pixels(1000, 4, 1, 1, seed=1), pixels(1000, 4, 1, 1, seed=2)
    for k in (1, 3, 5):
        assert coverage(real, fake, neighbours=k) == pytest.approx(1 - 2**-k, abs=0.05)


def test_coverage_knows_duplicates_for_what_they_are():
    """Where the nearest are equal, a distance of rounding instead of 0 would decide."""
    real = pixels(20, 3, 16, 16).repeat_interleave(10, dim=0)
    assert coverage(real, real[::10]) == 1
    assert coverage(real, real[::20]) == 0.5


def test_coverage_of_few_items():
    one = pixels(1, 1, 4, 4)
    assert coverage(one, one) == 1
    assert coverage(one, 255 - one) == 0
    # The neighbour of each is the other, so that either is near both.
    two = pixels(2, 1, 4, 4)
    assert coverage(two, two[:1]) == 1
