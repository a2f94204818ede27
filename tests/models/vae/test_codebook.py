"""A codebook: nearest codes, running averages, restarts, and the gradient that is passed on."""

import pytest
import torch

from genmint.config import VAEConfig
from genmint.models.shared.noise import Noise
from genmint.models.vae.codebook import Codebook


def codebook(**changes):
    entry = {
        "family": "vae", "dataset": "d", "steps": 1, "network": "vq", "codes": 5, "code_width": 3,
        "restart_codes": 0.0,
    }  # fmt: skip
    torch.manual_seed(0)
    return Codebook(VAEConfig(**{**entry, **changes}))


def vectors(n, seed=1):
    """A grid of 2×3 vectors for each of n items."""
    return torch.randn(n, 3, 2, 3, generator=torch.Generator().manual_seed(seed))


def noise(rank=0, world=1):
    return Noise(torch.Generator().manual_seed(4), rank, world)


def same(value):
    return value


def test_a_vector_becomes_its_nearest_code():
    book, grid = codebook(), vectors(4)
    found = book(grid)
    assert (found.numbers.shape, found.numbers.dtype) == ((4, 6), torch.int64)
    flat = grid.flatten(2).transpose(1, 2)
    distances = (flat[:, :, None] - book.codes).square().sum(3)
    assert torch.equal(found.numbers, distances.argmin(2))
    nearest = book.codes[found.numbers].transpose(1, 2).unflatten(2, (2, 3))
    torch.testing.assert_close(found.vectors, nearest)
    torch.testing.assert_close(found.distance, distances.amin(2).sum(1))
    assert torch.equal(book.vectors(found.numbers, (2, 3)), nearest)


def test_the_gradient_of_the_codes_is_that_of_the_vectors():
    """van den Oord et al. 2017, section 3.2: straight-through, beside the commitment."""
    book, grid = codebook(), vectors(2).requires_grad_()
    found = book(grid)
    weight = vectors(2, seed=9)
    (passed,) = torch.autograd.grad((found.vectors * weight).sum(), grid, retain_graph=True)
    assert torch.equal(passed, weight)
    (pulled,) = torch.autograd.grad(found.distance.sum(), grid)
    codes = book.vectors(found.numbers, (2, 3))
    torch.testing.assert_close(pulled, 2 * (grid - codes).detach())


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_codes_are_running_averages_of_their_vectors(decay):
    """van den Oord et al. 2017, appendix A.1, with shares of the batch in the place of numbers."""
    book = codebook(codebook_decay=decay)
    filled(book)
    share, total, codes = book.share.clone(), book.total.clone(), book.codes.clone()
    for step in range(4):
        grid = vectors(8, seed=step)
        numbers = book(grid).numbers
        book.note(grid, numbers, noise())
        book.update(same)
        flat, which = grid.flatten(2).transpose(1, 2).reshape(-1, 3), numbers.flatten()
        for code in range(5):
            mine = flat[which == code]
            share[code] = decay * share[code] + (1 - decay) * len(mine) / len(flat)
            total[code] = decay * total[code] + (1 - decay) * mine.sum(0) / len(flat)
            if share[code] > 0:
                codes[code] = total[code] / share[code]
        torch.testing.assert_close(book.codes, codes)
        torch.testing.assert_close(book.share, share)


def test_a_code_without_vectors_stays_where_it_is():
    book = filled(codebook())
    before = book.codes.clone()
    far = torch.full((1, 3, 1, 1), 50.0)
    numbers = book(far).numbers
    book.note(far, numbers, noise())
    book.update(same)
    others = [code for code in range(5) if code != int(numbers)]
    torch.testing.assert_close(book.codes[others], before[others])
    moved = (0.99 * 0.2 * before[int(numbers)] + 0.01 * 50) / (0.99 * 0.2 + 0.01)
    torch.testing.assert_close(book.codes[int(numbers)], moved)


def filled(book):
    """The codebook after its first batch."""
    grid = vectors(8)
    book.note(grid, book(grid).numbers, noise())
    book.update(same)
    return book


def are_vectors_of(codes, grid):
    flat = grid.flatten(2).transpose(1, 2).reshape(-1, 3)
    return torch.isclose(codes[:, None], flat).all(2).any(1)


def test_the_first_batch_fills_the_codebook():
    book = filled(codebook())
    assert are_vectors_of(book.codes, vectors(8)).all()
    assert len(book.codes.unique(dim=0)) == 5
    torch.testing.assert_close(book.share, torch.full((5,), 0.2))
    torch.testing.assert_close(book.total, book.codes / 5)


@pytest.mark.parametrize("restart", [0.0, 0.5])
def test_codes_below_the_share_become_vectors_of_the_batch(restart):
    book = filled(codebook(restart_codes=restart))
    before = book.codes.clone()
    # All vectors of these batches are nearest to one code; the shares of the others fall to half.
    near = before[2][None, :, None, None] + 1e-3 * vectors(8, seed=5)
    for _ in range(68):
        book.note(near, book(near).numbers, noise())
        book.update(same)
    others = [0, 1, 3, 4]
    torch.testing.assert_close(book.codes[others], before[others])
    book.note(near, book(near).numbers, noise())
    book.update(same)
    if restart:
        assert are_vectors_of(book.codes[others], near).all()
        torch.testing.assert_close(book.share[others], torch.full((4,), 0.2))
    else:
        torch.testing.assert_close(book.codes[others], before[others])
    assert not are_vectors_of(book.codes[[2]], near).any()


@pytest.mark.parametrize("restart", [0.0, 0.9])
def test_several_processes_move_the_codes_as_one_does(restart):
    """With two parts of each batch, as `accumulate: 2` makes them."""
    whole = codebook(restart_codes=restart, codebook_decay=0.5)
    parts = [codebook(restart_codes=restart, codebook_decay=0.5) for _ in range(2)]
    sources = [noise(), noise(0, 2), noise(1, 2)]
    for step in range(3):
        for part in range(2):
            grid = vectors(8, seed=10 * step + part)
            shares = [grid, *grid.chunk(2)]
            for book, source, share in zip([whole, *parts], sources, shares, strict=True):
                book.note(share, book(share).numbers, source)
        whole.update(same)
        mean = sum(torch.stack(book._noted).mean(0) for book in parts) / 2
        for book in parts:
            book.update(lambda _, mean=mean: mean)
        for book in parts:
            for name, value in book.state_dict().items():
                torch.testing.assert_close(value, whole.state_dict()[name], rtol=1e-5, atol=1e-6)
