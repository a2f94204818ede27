import torch

from genmint.interpretability import neighbours
from genmint.interpretability.latents import principal_plane
from genmint.interpretability.neighbours import nearest_items


def images(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 1, 4, 4), generator=generator).to(torch.uint8)


def test_a_copy_is_the_most_suspicious_sample(monkeypatch):
    data, samples = images(50), images(6, seed=1)
    samples[4] = data[33]
    near = nearest_items(samples, data, 3)
    assert near.samples[0] == 4
    assert near.items[0, 0] == 33
    assert near.ratios[0] == 0
    assert (near.ratios[1:] > 0.5).all()
    assert near.ratios.tolist() == sorted(near.ratios.tolist())
    distances = torch.cdist(samples.flatten(1).double(), data.flatten(1).double())
    assert torch.equal(near.items, distances.topk(3, largest=False).indices[near.samples])
    # Parts of the training data give the same as all at once.
    monkeypatch.setattr(neighbours, "_ROWS", 7)
    assert torch.equal(nearest_items(samples, data, 3).items, near.items)


def test_twins_among_the_training_items_do_not_divide_by_zero():
    data = torch.cat([images(1), images(1)])
    near = nearest_items(images(2, seed=1), data, 5)
    assert near.items.shape == (2, 2)
    assert near.ratios.isfinite().all()


def test_the_plane_of_more_latents_than_items_is_that_of_all_directions():
    """Up to the signs of its axes."""
    z = torch.randn(20, 300, generator=torch.Generator().manual_seed(0)).double()
    plane, share = principal_plane(z)
    centred = z - z.mean(0)
    left, scale, _ = torch.linalg.svd(centred, full_matrices=False)
    torch.testing.assert_close(plane.abs(), (left * scale)[:, :2].abs())
    assert abs(share - float(scale[:2].square().sum() / scale.square().sum())) < 1e-9


def test_the_plane_of_largest_variance():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(200, 4, generator=generator) * torch.tensor([0.1, 5.0, 0.1, 2.0])
    plane, share = principal_plane(z)
    assert plane.shape == (200, 2)
    assert abs(torch.corrcoef(torch.stack([plane[:, 0], z[:, 1].double()]))[0, 1]) > 0.99
    assert share > 0.99
    line, share = principal_plane(z[:, :1])
    assert line.shape == (200, 2)
    assert share == 1
    assert principal_plane(torch.zeros(3, 2))[1] == 1
