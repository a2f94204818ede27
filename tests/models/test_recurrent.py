import pytest
import torch
from torch import nn

from genmint.models import recurrent

CELLS = [(recurrent.RNN, nn.RNN), (recurrent.LSTM, nn.LSTM), (recurrent.GRU, nn.GRU)]


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def pair(ours, plain):
    torch.manual_seed(0)
    one, other = ours(6, 10, batch_first=True), plain(6, 10, batch_first=True)
    other.load_state_dict(one.state_dict())
    return one, other


def state_of(cell, rows):
    h = torch.randn(1, rows, 10)
    return (h, torch.randn(1, rows, 10)) if cell is recurrent.LSTM else h


def flat(state):
    return torch.cat(state) if isinstance(state, tuple) else state


@pytest.mark.parametrize(("rows", "parts"), [(1, 1), (31, 1), (32, 2), (64, 2), (96, 3), (130, 4)])
def test_a_batch_is_cut_by_its_size_alone(threads, rows, parts):
    assert recurrent.parts_of(rows) == parts


@pytest.mark.parametrize(("ours", "plain"), CELLS)
@pytest.mark.parametrize("rows", [7, 37, 100])
def test_parts_give_what_the_whole_gives(threads, ours, plain, rows):
    one, other = pair(ours, plain)
    x = torch.randn(rows, 9, 6)
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    state = state_of(ours, rows)
    hidden, after = one(mine, state)
    wanted, wanted_after = other(theirs, state)
    torch.testing.assert_close(hidden, wanted)
    torch.testing.assert_close(flat(after), flat(wanted_after))
    pull = torch.randn_like(hidden)
    hidden.backward(pull)
    wanted.backward(pull)
    torch.testing.assert_close(mine.grad, theirs.grad)
    for ours_p, theirs_p in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours_p.grad, theirs_p.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("ours", "plain"), CELLS)
def test_without_gradients_and_without_a_state(threads, ours, plain):
    one, other = pair(ours, plain)
    x = torch.randn(64, 9, 6)
    with torch.no_grad():
        hidden, after = one(x)
        wanted, wanted_after = other(x)
    assert not hidden.requires_grad
    torch.testing.assert_close(hidden, wanted)
    torch.testing.assert_close(flat(after), flat(wanted_after))


def test_the_bytes_do_not_depend_on_the_number_of_threads():
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        one, _ = pair(recurrent.LSTM, nn.LSTM)
        x = torch.randn(64, 9, 6)
        hidden, _ = one(x)
        hidden.square().sum().backward()
        found.append([hidden.detach(), *(p.grad for p in one.parameters())])
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_it_casts_as_its_caller_does_and_leaves_threads_as_they_were(threads):
    one, _ = pair(recurrent.RNN, nn.RNN)
    with torch.autocast("cpu", torch.bfloat16):
        assert one(torch.randn(64, 9, 6))[0].dtype == torch.bfloat16
        with torch.no_grad():
            assert one(torch.randn(64, 9, 6))[0].dtype == torch.bfloat16
    assert one(torch.randn(64, 9, 6))[0].dtype == torch.float32
    assert torch.get_num_threads() == threads


def test_an_error_in_a_part_reaches_the_caller(threads):
    one, _ = pair(recurrent.LSTM, nn.LSTM)
    with pytest.raises(RuntimeError, match=r"input.size"):
        one(torch.randn(64, 9, 7))


def test_a_gradient_into_the_state_arrives():
    one, other = pair(recurrent.LSTM, nn.LSTM)
    x = torch.randn(64, 9, 6)
    grads = []
    for layer in (one, other):
        torch.manual_seed(1)
        state = tuple(part.requires_grad_() for part in state_of(recurrent.LSTM, 64))
        layer(x, state)[0].sum().backward()
        grads.append(state[0].grad)
    torch.testing.assert_close(*grads)
