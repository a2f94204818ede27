import pytest
import torch
from torch import nn

from genmint.models.rnn import recurrent

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def squares(layer):
    """A loss on rows, and the rows themselves."""
    return lambda rows: (layer(rows).square().sum(), rows)


@pytest.mark.parametrize(("rows", "parts"), [(1, 1), (31, 1), (32, 2), (64, 2), (96, 3), (130, 4)])
def test_a_batch_is_cut_by_its_size_alone(threads, rows, parts):
    assert recurrent.parts_of(rows, 100, CPU) == parts


def test_short_sequences_and_other_devices_are_not_cut():
    assert recurrent.parts_of(64, 7, CPU) == 1
    assert recurrent.parts_of(64, 8, CPU) == 2
    assert recurrent.parts_of(64, 100, torch.device("meta")) == 1


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_sum_over_parts_is_that_of_the_whole(threads, count):
    layer = nn.Linear(3, 4)
    weights, rows = list(layer.parameters()), torch.randn(10, 3)
    whole, _ = squares(layer)(rows)
    wanted = torch.autograd.grad(2 * whole, weights)
    parts = rows.tensor_split(count)
    loss, rests = recurrent.summed(squares(layer), parts, weights)
    assert [len(rest) for rest in rests] == [len(part) for part in parts]
    torch.testing.assert_close(loss, whole)
    for found, right in zip(torch.autograd.grad(2 * loss, weights), wanted, strict=True):
        torch.testing.assert_close(found, right)


def test_the_bytes_do_not_depend_on_the_number_of_threads():
    torch.manual_seed(0)
    layer = nn.Linear(30, 40)
    weights, parts = list(layer.parameters()), torch.randn(64, 30).tensor_split(4)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        loss, _ = recurrent.summed(squares(layer), parts, weights)
        found.append([loss.detach(), *torch.autograd.grad(loss, weights)])
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_it_casts_and_differentiates_as_its_caller_does_and_leaves_threads_as_they_were(threads):
    layer, parts = nn.Linear(6, 10), torch.randn(64, 6).tensor_split(2)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        for out in recurrent.at_once(layer, parts):
            assert out.dtype == torch.bfloat16
            assert not out.requires_grad
    for out in recurrent.at_once(layer, parts):
        assert out.dtype == torch.float32
        assert out.requires_grad
    assert torch.get_num_threads() == threads


def test_parts_are_worked_on_at_once_and_come_back_in_order():
    """Each part waits for the other: one after the other they would never end."""
    import threading

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    both = threading.Barrier(2, timeout=60)

    def meet(part):
        both.wait()
        return part

    assert recurrent.at_once(meet, [0, 1]) == [0, 1]
    torch.set_num_threads(before)


def test_an_error_in_a_part_reaches_the_caller(threads):
    layer = nn.Linear(6, 10)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        recurrent.summed(squares(layer), [torch.randn(4, 7)] * 2, list(layer.parameters()))
