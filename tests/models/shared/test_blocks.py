import pytest
import torch

from genmint.models.shared.blocks import ROWS, in_blocks, seeded, to_bytes


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
