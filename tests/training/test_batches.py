import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genmint.common.errors import DataError
from genmint.data.views.spec import DataSpec
from genmint.training.batches import Grids, SequenceBatches, Shuffled, Stream, batches
from genmint.training.distributed import Ranks


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def take(source, n):
    return [source.next() for _ in range(n)]


def described(piece):
    labels = None if piece.labels is None else piece.labels.tolist()
    return piece.data.dtype, piece.data.tolist(), labels, piece.fresh, piece.epoch, piece.amount


@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (10, 10), (3, 8), (1, 4)])
def test_every_epoch_holds_every_item_once(n, batch_size):
    seen = torch.cat(take(Shuffled(n, batch_size, generator()), 3 * n))
    assert len(seen) == 3 * n * batch_size
    for epoch in seen[: len(seen) // n * n].view(-1, n):
        assert sorted(epoch.tolist()) == list(range(n))


def test_the_order_is_the_generators():
    def first(seed):
        return Shuffled(100, 32, generator(seed)).next().tolist()

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_grids_stay_in_eight_bits_and_count_epochs():
    data = torch.randint(0, 256, (10, 1, 4, 4), dtype=torch.uint8)
    first, second = take(Grids(data, Shuffled(10, 5, generator())), 2)
    assert first.data.dtype == torch.uint8
    assert (first.epoch, second.epoch) == (0.5, 1.0)
    assert first.fresh
    assert second.fresh
    order = Shuffled(10, 5, generator())
    assert torch.equal(first.data, data[order.next()])
    assert torch.equal(second.data, data[order.next()])


def test_items_are_walked_through_in_pieces():
    data = torch.arange(6 * 10).view(6, 10).to(torch.uint8)
    pieces = take(SequenceBatches(data, Shuffled(6, 3, generator()), 4, 99), 6)
    assert [piece.fresh for piece in pieces] == [True, False, False] * 2
    assert [piece.data.shape[1] for piece in pieces] == [5, 5, 3] * 2
    assert [piece.amount for piece in pieces] == [12, 12, 6] * 2
    assert (pieces[0].data[:, 0] == 99).all()
    assert pieces[0].data.dtype == torch.int64
    # The input of a piece begins with the last target of the one before.
    assert torch.equal(pieces[0].data[:, -1], pieces[1].data[:, 0])
    targets = torch.cat([piece.data[:, 1:] for piece in pieces[:3]], dim=1)
    for row in targets.tolist():
        assert row == list(range(row[0], row[0] + 10))
    assert pieces[2].epoch == 0.5
    assert pieces[5].epoch == 1.0


def test_a_stream_is_contiguous_along_every_track():
    data = torch.arange(101)
    pieces = take(Stream(data, 4, 10), 6)
    assert [piece.fresh for piece in pieces] == [True, False, False, True, False, False]
    assert [piece.data.shape for piece in pieces[:3]] == [(4, 11), (4, 11), (4, 6)]
    for track in range(4):
        inputs = torch.cat([piece.data[track, :-1] for piece in pieces[:3]])
        targets = torch.cat([piece.data[track, 1:] for piece in pieces[:3]])
        assert inputs.tolist() == list(range(25 * track, 25 * track + 25))
        assert torch.equal(targets, inputs + 1)
    assert pieces[2].epoch == 1.0
    assert pieces[3].epoch == 1.4


def test_random_offsets_go_around_and_differ_by_epoch():
    data = torch.arange(41)
    stream = Stream(data, 2, 10, offsets=torch.Generator().manual_seed(3))
    starts = set()
    for _ in range(4):
        pieces = [stream.next() for _ in range(2)]
        assert [piece.fresh for piece in pieces] == [True, False]
        rows = torch.cat([pieces[0].data[:, :-1], pieces[1].data], dim=1)
        assert ((rows.diff(dim=1) == 1) | (rows.diff(dim=1) == -40)).all()
        assert rows[1, 0] == (rows[0, 0] + 20) % 41
        starts.add(int(rows[0, 0]))
    assert len(starts) > 1
    held = stream.state()
    expected = [stream.next().data for _ in range(5)]
    other = Stream(data, 2, 10, offsets=torch.Generator())
    other.restore(held)
    assert all(torch.equal(a, other.next().data) for a in expected)


@pytest.mark.parametrize("length", [2, 5, 30, 39, 40, 41, 1000])
def test_a_short_stream_gets_fewer_tracks(length):
    piece = Stream(torch.arange(length), 8, 10).next()
    assert piece.data.shape[0] == max(1, min(8, (length - 1) // 10))
    assert torch.equal(piece.data[:, 1:], piece.data[:, :-1] + 1)


@pytest.mark.parametrize(("length", "tracks"), [(1000, 4), (36, 2), (25, 2)])
def test_processes_share_the_tracks_of_a_short_stream_evenly(length, tracks):
    pieces = [Stream(torch.arange(length), 4, 10, rank, 2).next() for rank in (0, 1)]
    assert [len(piece.data) for piece in pieces] == [tracks // 2] * 2
    assert pieces[1].data[0, 0] == (length - 1) // tracks * (tracks // 2)


def test_a_stream_too_short_for_its_processes_is_refused():
    with pytest.raises(DataError, match="a text of 15 symbols is too short for 2 processes"):
        Stream(torch.arange(15), 4, 10, 0, 2)


def test_nothing_to_learn_from_is_refused(grid, text):
    with pytest.raises(DataError, match="empty or has a single symbol"):
        batches(torch.empty(0, 1, 8, 8), grid, 4, generator())
    with pytest.raises(DataError, match="empty or has a single symbol"):
        batches(torch.tensor([1]), text, 4, generator(), bptt=4)


@st.composite
def sources(draw):
    """What makes batches of one kind; called with the seed of the order, rank and world."""
    world = draw(st.integers(1, 3))
    batch_size = world * draw(st.integers(1, 4))
    bptt, n, length = (draw(st.integers(1, top)) for top in (6, 20, 9))
    kind = draw(st.sampled_from(["grid", "items", "stream"]))
    # A label that is known from the item: its first number.
    labels = None
    if kind == "grid":
        data = torch.arange(n * 4).view(n, 1, 2, 2).to(torch.uint8)
        spec = DataSpec(dataset="d", kind="image", view="grid", shape=(1, 2, 2))
        labels = data[:, 0, 0, 0].long()
    elif kind == "items":
        data = torch.arange(n * length).view(n, length).to(torch.uint8)
        spec = DataSpec(dataset="d", kind="audio", view="sequence", shape=(length,), symbols=200)
        labels = data[:, 0].long()
    else:
        # Long enough for as many tracks as there are rows, whatever the number of processes.
        data = torch.arange(batch_size * bptt + 1 + n)
        spec = DataSpec(dataset="d", kind="text", view="sequence", shape=(), symbols=200)

    def make(seed=0, rank=0, of=1):
        order, ranks = generator(seed), Ranks(rank, of)
        return batches(data, spec, batch_size, order, labels=labels, bptt=bptt, ranks=ranks)

    return make, world


@settings(max_examples=60, deadline=None)
@given(sources(), st.integers(0, 25))
def test_what_is_taken_up_anywhere_goes_on_as_if_nothing_had_happened(source, stop):
    make, _ = source
    undisturbed = make()
    take(undisturbed, stop)
    stored = io.BytesIO()
    torch.save(undisturbed.state(), stored)
    expected = [described(piece) for piece in take(undisturbed, 12)]
    stored.seek(0)
    # Of another seed, since all that the order depends on is in the state.
    other = make(seed=1)
    other.restore(torch.load(stored, weights_only=True))
    assert [described(piece) for piece in take(other, 12)] == expected


@settings(max_examples=60, deadline=None)
@given(sources(), st.integers(0, 25))
def test_a_position_can_be_gone_back_to_more_than_once(source, stop):
    make, _ = source
    used = make()
    take(used, stop)
    state = used.state()
    first = [described(piece) for piece in take(used, 12)]
    for _ in range(2):
        used.restore(state)
        assert [described(piece) for piece in take(used, 12)] == first


@settings(max_examples=60, deadline=None)
@given(sources())
def test_the_rows_of_all_processes_are_those_of_one(source):
    make, world = source
    alone, several = make(), [make(rank=rank, of=world) for rank in range(world)]
    for _ in range(12):
        whole, parts = alone.next(), [part.next() for part in several]
        assert torch.equal(torch.cat([part.data for part in parts]), whole.data)
        for part in parts:
            assert len(part.data) == len(whole.data) // world
            # Every process counts what all of them have seen together.
            assert described(part)[3:] == described(whole)[3:]
        if whole.labels is not None:
            assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)


@settings(max_examples=40, deadline=None)
@given(sources())
def test_labels_are_those_of_the_rows(source):
    make, _ = source
    first = None
    for piece in take(make(), 12):
        if piece.labels is not None and piece.data.dim() == 4:
            assert torch.equal(piece.labels, piece.data[:, 0, 0, 0].long())
        elif piece.labels is not None:
            # All pieces of a batch are of the same rows.
            first = piece.data[:, 1] if piece.fresh else first
            assert torch.equal(piece.labels, first)
