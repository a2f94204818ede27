import pytest
import torch

from genmint.config import Augmentation
from genmint.models.shared.noise import Noise
from genmint.training.augmentation import augmented


def noise(seed=0):
    return Noise(torch.Generator().manual_seed(seed))


def moved(batch, *, sound=False, seed=0, **settings):
    return augmented(batch, Augmentation(**settings), noise(seed), sound=sound)


def pictures(n, height=9, width=7, channels=2):
    generator = torch.Generator().manual_seed(1)
    shape = (n, channels, height, width)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def shifted(picture, right, down):
    """C×H×W moved by whole pixels; what comes in repeats the edge."""
    _, height, width = picture.shape
    rows = (torch.arange(height) - down).clamp(0, height - 1)
    columns = (torch.arange(width) - right).clamp(0, width - 1)
    return picture[:, rows][:, :, columns]


def test_a_shift_is_of_whole_pixels_and_changes_none():
    batch = pictures(40)
    found = set()
    for before, after in zip(batch, moved(batch, shift=2), strict=True):
        where = [
            (right, down)
            for right in range(-2, 3)
            for down in range(-2, 3)
            if torch.equal(after, shifted(before, right, down))
        ]
        assert len(where) == 1
        found |= set(where)
    assert len(found) > 12


def test_nothing_asked_for_is_nothing_done():
    batch = pictures(5)
    assert torch.equal(moved(batch), batch)


def test_a_flip_is_left_to_right_and_every_second():
    batch = pictures(400)
    after = moved(batch, flip=True)
    flipped = (after == batch.flip(3)).flatten(1).all(1)
    kept = (after == batch).flatten(1).all(1)
    assert bool((flipped ^ kept).all())
    assert 160 < int(flipped.sum()) < 240


@pytest.mark.parametrize(("height", "width"), [(33, 33), (41, 21)])
def test_a_rotation_keeps_distances_for_all_shapes(height, width):
    """A blob stays as far from the middle, and turns by at most the angle asked for."""
    x = torch.arange(width) - (width - 1) / 2
    y = torch.arange(height) - (height - 1) / 2
    distance = (x - 6).square() + (y[:, None] - 0).square()
    blob = (255 * torch.exp(-distance / 6)).to(torch.uint8)[None, None].expand(64, 1, -1, -1)
    after = moved(blob, rotate=40.0).double()
    mass = after.sum((2, 3))
    centre_x, centre_y = (after * x).sum((2, 3)) / mass, (after * y[:, None]).sum((2, 3)) / mass
    radius = (centre_x.square() + centre_y.square()).sqrt()
    angle = torch.atan2(centre_y, centre_x).rad2deg()
    assert (radius - 6).abs().max() < 0.35
    assert angle.abs().max() < 41
    assert angle.max() > 25
    assert angle.min() < -25


def test_a_scale_is_between_its_inverse_and_itself():
    x = torch.arange(33) - 16
    disc = (255 * ((x.square() + x[:, None].square()) <= 64)).to(torch.uint8)[None, None]
    areas = (moved(disc.expand(64, 1, -1, -1), scale=0.25).double() / 255).sum((1, 2, 3))
    sides = (areas / float((disc.double() / 255).sum())).sqrt()
    assert 0.78 < sides.min() < 0.87
    assert 1.15 < sides.max() < 1.27


def test_sound_is_only_moved_in_time():
    batch = pictures(30)
    after = moved(batch, sound=True, shift=3, rotate=90.0, scale=0.5, flip=True)
    for before, one in zip(batch, after, strict=True):
        assert any(torch.equal(one, shifted(before, right, 0)) for right in range(-3, 4))


def test_every_item_and_every_step_has_its_own_draw_by_the_seed():
    batch = pictures(1).expand(8, -1, -1, -1)
    generator = noise()
    settings = Augmentation(shift=3, rotate=20.0)
    first = augmented(batch, settings, generator, sound=False)
    second = augmented(batch, settings, generator, sound=False)
    assert not torch.equal(first, second)
    assert len({one.numpy().tobytes() for one in first}) > 4
    assert torch.equal(first, moved(batch, shift=3, rotate=20.0))


def test_two_processes_move_their_rows_as_one_would():
    batch = pictures(8)
    settings = Augmentation(shift=2, flip=True)
    whole = augmented(batch, settings, noise(), sound=False)
    parts = [
        augmented(
            batch[4 * rank : 4 * rank + 4],
            settings,
            Noise(torch.Generator().manual_seed(0), rank, 2),
            sound=False,
        )
        for rank in (0, 1)
    ]
    assert torch.equal(torch.cat(parts), whole)
