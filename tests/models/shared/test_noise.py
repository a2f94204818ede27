import pytest
import torch

from genmint.models.shared.noise import Noise


def noise(seed=0, rank=0, world=1):
    return Noise(torch.Generator().manual_seed(seed), rank, world)


DRAWS = {
    "normal": lambda source, rows: source.normal(rows, 3, 2),
    "uniform": lambda source, rows: source.uniform(rows, 3, 2),
    "bernoulli": lambda source, rows: source.bernoulli(0.3, rows, 3, 2),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("world", [2, 3])
def test_all_processes_together_see_what_one_would_have_seen(draw, world):
    one, several = noise(), [noise(rank=rank, world=world) for rank in range(world)]
    # The second draw shows that all have come as far with their generators.
    for _ in range(2):
        whole = draw(one, 4 * world)
        assert torch.equal(torch.cat([draw(source, 4) for source in several]), whole)
        assert whole.shape == (4 * world, 3, 2)
        assert whole.dtype == torch.float32


@pytest.mark.parametrize("world", [2, 3])
def test_picks_are_of_the_whole_batch_and_each_in_one_process(world):
    one, several = noise(), [noise(rank=rank, world=world) for rank in range(world)]
    for count in (5, 4 * world, 30):
        rows, mine = one.picks(count, 4 * world)
        assert mine.all()
        found = [source.picks(count, 4) for source in several]
        assert torch.equal(torch.stack([own for _, own in found]).sum(0), torch.ones(count))
        whole = sum((4 * rank + row) * own for rank, (row, own) in enumerate(found))
        assert torch.equal(whole, rows)
        uses = rows.bincount(minlength=4 * world)
        assert int(uses.max() - uses.min()) <= 1


SHARED = {
    "normal": lambda source: source.shared_normal(3, 2),
    "bernoulli": lambda source: source.shared_bernoulli(0.3, 3, 2),
}


@pytest.mark.parametrize("draw", SHARED.values(), ids=SHARED)
def test_what_is_shared_is_the_same_in_every_process(draw):
    one, other = noise(), noise(rank=1, world=2)
    for _ in range(2):
        assert torch.equal(draw(one), draw(other))
    assert not torch.equal(draw(one), draw(noise(1)))
    # And they have come as far with their generators.
    draw(other)
    assert torch.equal(one.uniform(2)[1:], other.uniform(1))


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_draws_come_from_the_generator_alone(draw):
    before = torch.get_rng_state()
    assert torch.equal(draw(noise(1), 50), draw(noise(1), 50))
    assert not torch.equal(draw(noise(1), 50), draw(noise(2), 50))
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_have_their_distributions():
    normal, uniform = noise().normal(20_000), noise().uniform(20_000)
    assert abs(float(normal.mean())) < 0.03
    assert abs(float(normal.std()) - 1) < 0.03
    assert float(uniform.min()) >= 0
    assert float(uniform.max()) < 1
    assert abs(float(uniform.mean()) - 0.5) < 0.01
    assert abs(float(noise().shared_normal(20_000).std()) - 1) < 0.03
    for mask in (noise().bernoulli(0.3, 20_000), noise().shared_bernoulli(0.3, 20_000)):
        assert set(mask.unique().tolist()) == {0.0, 1.0}
        assert abs(float(mask.mean()) - 0.3) < 0.02
