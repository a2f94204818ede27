import pytest
import torch

from genmint.models.blocks import (
    ROWS,
    Down,
    Residual,
    Up,
    decoder,
    encoder,
    in_blocks,
    seeded,
    to_bytes,
)


@pytest.mark.parametrize("side", [1, 2, 3, 7, 8, 13])
def test_down_halves_rounding_up_and_up_undoes_it(side):
    half = (side + 1) // 2
    down = Down(2, 3)(torch.zeros(1, 2, side, side))
    assert down.shape == (1, 3, half, half)
    assert Up(3, 2, (side, side))(down).shape == (1, 2, side, side)


def test_purposes_of_a_seed_are_unrelated():
    streams = {
        tuple(torch.rand(4, generator=seeded(seed, purpose)).tolist())
        for seed in (0, 1, 2)
        for purpose in (0, 1, 2)
    }
    assert len(streams) == 9


@pytest.mark.parametrize("n", [1, 5, ROWS, ROWS + 1, 3 * ROWS - 2])
def test_blocks_have_one_shape_and_hold_every_row_once(n):
    data = torch.arange(n)
    parts, shapes = [], set()
    for rows, block in in_blocks(data, torch.device("cpu")):
        parts.append(block[: rows.stop - rows.start])
        shapes.add(block.shape)
    assert torch.equal(torch.cat(parts), data)
    assert shapes == {(min(n, ROWS),)}


def test_bytes_are_rounded_and_cut():
    values = torch.tensor([-0.1, 0.0, 0.5, 1.0, 1.2])
    assert to_bytes(values).tolist() == [0, 0, 128, 255, 255]


def test_a_residual_block_starts_as_nothing_and_learns():
    x = torch.randn(2, 3, 5, 5)
    block = Residual(3, "relu")
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.body[-1].weight.grad.abs().sum() > 0
    with torch.no_grad():
        block.body[-1].weight.fill_(0.1)
    assert not torch.equal(block(x), x)


def test_residual_networks_have_a_block_at_each_size():
    shape = (1, 9, 9)
    down = encoder("residual", shape, [4, 6], 5, act="silu")
    up = decoder("residual", 5, [4, 6], shape, act="silu")
    assert sum(isinstance(m, Residual) for m in down.modules()) == 2
    assert sum(isinstance(m, Residual) for m in up.modules()) == 2
    assert up(down(torch.randn(2, *shape))).shape == (2, *shape)
