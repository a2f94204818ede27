import itertools

import pytest
import torch

from genmint.errors import DataError
from genmint.training import batches


def take(iterator, n):
    return list(itertools.islice(iterator, n))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (10, 10), (3, 8), (1, 4)])
def test_every_epoch_holds_every_item_once(n, batch_size):
    seen = torch.cat(take(batches.shuffled(n, batch_size, generator()), 3 * n))
    assert len(seen) == 3 * n * batch_size
    for epoch in seen[: len(seen) // n * n].view(-1, n):
        assert sorted(epoch.tolist()) == list(range(n))


def test_the_order_is_the_generators():
    def first(seed):
        return next(batches.shuffled(100, 32, generator(seed))).tolist()

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_grids_stay_in_eight_bits_and_count_epochs():
    data = torch.randint(0, 256, (10, 1, 4, 4), dtype=torch.uint8)
    first, second = take(batches.grids(data, 5, generator()), 2)
    assert first.data.dtype == torch.uint8
    assert (first.epoch, second.epoch) == (0.5, 1.0)
    assert first.fresh
    assert second.fresh


def test_items_are_walked_through_in_pieces():
    data = torch.arange(6 * 10).view(6, 10).to(torch.uint8)
    pieces = take(batches.items(data, 3, 4, 99, generator()), 6)
    assert [piece.fresh for piece in pieces] == [True, False, False] * 2
    assert [piece.data.shape[1] for piece in pieces] == [5, 5, 3] * 2
    assert [piece.amount for piece in pieces] == [12, 12, 6] * 2
    assert (pieces[0].data[:, 0] == 99).all()
    # The input of a piece begins with the last target of the one before.
    assert torch.equal(pieces[0].data[:, -1], pieces[1].data[:, 0])
    targets = torch.cat([piece.data[:, 1:] for piece in pieces[:3]], dim=1)
    for row in targets.tolist():
        assert row == list(range(row[0], row[0] + 10))
    assert pieces[2].epoch == 0.5
    assert pieces[5].epoch == 1.0


def test_a_stream_is_contiguous_along_every_track():
    data = torch.arange(101)
    pieces = take(batches.stream(data, 4, 10), 6)
    assert [piece.fresh for piece in pieces] == [True, False, False, True, False, False]
    assert [piece.data.shape for piece in pieces[:3]] == [(4, 11), (4, 11), (4, 6)]
    for track in range(4):
        inputs = torch.cat([piece.data[track, :-1] for piece in pieces[:3]])
        targets = torch.cat([piece.data[track, 1:] for piece in pieces[:3]])
        assert inputs.tolist() == list(range(25 * track, 25 * track + 25))
        assert torch.equal(targets, inputs + 1)
    assert pieces[2].epoch == 1.0
    assert pieces[3].epoch == 1.4


@pytest.mark.parametrize("length", [2, 5, 30, 39, 40, 41, 1000])
def test_a_short_stream_gets_fewer_tracks(length):
    piece = next(batches.stream(torch.arange(length), 8, 10))
    assert piece.data.shape[0] == max(1, min(8, (length - 1) // 10))
    assert torch.equal(piece.data[:, 1:], piece.data[:, :-1] + 1)


def test_nothing_to_learn_from_is_refused(grid, text):
    with pytest.raises(DataError, match="nothing to learn from"):
        batches.batches(torch.empty(0, 1, 8, 8), grid, 4, generator())
    with pytest.raises(DataError, match="nothing to learn from"):
        batches.batches(torch.tensor([1]), text, 4, generator(), bptt=4)
