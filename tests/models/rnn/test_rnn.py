import itertools

import pytest
import torch

from genmint.common.errors import DataError
from genmint.config import RNNConfig, SamplingConfig
from genmint.models.rnn import model as rnn
from genmint.models.shared.noise import Noise
from genmint.models.shared.store import build

CELLS = ["tanh", "lstm", "gru"]


def config(**changes):
    block = {
        "family": "rnn", "dataset": "d", "steps": 1, "hidden": 10, "embedding": 6, "bptt": 5,
    }  # fmt: skip
    return RNNConfig(**{**block, **changes})


def symbols(n, length, top=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, top, (n, length), generator=generator)


def noise(seed=0):
    return Noise(torch.Generator().manual_seed(seed))


def naive_nats(model, sequence):
    """One symbol at a time, state kept, from softmax itself."""
    state, values = None, []
    with torch.no_grad():
        for now, following in itertools.pairwise(sequence):
            logits, state = model(now.view(1, 1), state)
            values.append(-logits[0, 0].double().softmax(0)[following].log())
    return torch.stack(values)


def test_tanh_cell_is_the_written_formula(items):
    model = build(config(cell="tanh"), items(8))
    inputs = symbols(1, 7)
    logits, _ = model(inputs, None)
    cell = model.layers[0]
    h = torch.zeros(10)
    for t in range(7):
        x = model.embedding.weight[inputs[0, t]]
        h = torch.tanh(
            cell.weight_hh_l0 @ h + cell.bias_hh_l0 + cell.weight_ih_l0 @ x + cell.bias_ih_l0
        )
        y = model.output.weight @ h + model.output.bias
        torch.testing.assert_close(logits[0, t], y)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("context", [1, 4, 20])
def test_nats_of_items_equal_a_naive_loop(items, cell, layers, context):
    model = build(config(cell=cell, layers=layers, dropout=0.5, context=context), items(9))
    data = symbols(3, 9)
    start = torch.tensor([model.start])
    expected = torch.stack([naive_nats(model, torch.cat([start, row])).sum() for row in data])
    torch.testing.assert_close(model.nats(data.to(torch.uint8)), expected, atol=1e-5, rtol=0)


def test_nats_of_a_stream_equal_a_naive_loop(text):
    model = build(config(), text)
    stream = symbols(1, 300, top=12)[0]
    nats = model.nats(stream)
    assert nats.shape == (299,)
    torch.testing.assert_close(nats, naive_nats(model, stream), atol=1e-5, rtol=0)


@pytest.mark.parametrize("length", [9, 10, 18, 19, 25, 26, 27, 40, 41])
def test_a_long_stream_is_scored_once_a_symbol_with_context(text, monkeypatch, length):
    monkeypatch.setattr(rnn, "SEGMENT", 8)
    monkeypatch.setattr(rnn, "CONTEXT", 4)
    monkeypatch.setattr(rnn, "_PASS", 5)
    model = build(config(), text)
    stream = symbols(1, length, top=12)[0]
    nats = model.nats(stream)
    assert nats.shape == (length - 1,)
    for t in range(length - 1):
        segment = t // 8
        begin = 0 if segment == 0 else segment * 8 - 4
        expected = naive_nats(model, stream[begin : t + 2])[-1]
        torch.testing.assert_close(nats[t], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("context", [1, 4])
def test_no_symbol_sees_its_future(items, cell, context):
    model = build(config(cell=cell, layers=2, context=context), items(12))
    before = symbols(2, 12)
    after = before.clone()
    after[:, 7:] = (after[:, 7:] + 1) % 16
    first, _ = model(before, None)
    second, _ = model(after, None)
    assert torch.equal(first[:, :7], second[:, :7])
    assert not torch.equal(first[:, 7:], second[:, 7:])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("context", [1, 4])
def test_state_is_carried_and_reset(items, cell, context):
    model = build(config(cell=cell, context=context), items(10))
    whole = torch.cat([torch.full((4, 1), model.start), symbols(4, 10)], dim=1)

    def loss(piece, fresh):
        return model.loss("rnn", piece, noise(), fresh=fresh).value.detach()

    once = loss(whole, True)
    first, second = loss(whole[:, :6], True), loss(whole[:, 5:], False)
    torch.testing.assert_close((first + second) / 2, once)
    assert not torch.equal(loss(whole[:, 5:], True), second)


def test_back_propagation_is_cut_at_the_piece(items):
    model = build(config(), items(10))
    for fresh in (True, False, False):
        model.loss("rnn", symbols(4, 6), noise(), fresh=fresh).value.backward()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("context", "dropout"), [(1, 0.0), (4, 0.5)])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_in_parts_gives_what_the_whole_gives(
    items, monkeypatch, cell, context, dropout, threads
):
    torch.manual_seed(0)
    model = build(config(cell=cell, layers=2, context=context, dropout=dropout), items(30))
    whole = torch.cat([torch.full((70, 1), model.start), symbols(70, 30)], dim=1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)

    def learned(count):
        monkeypatch.setattr(rnn.recurrent, "parts_of", lambda *_: count)
        draws = noise()
        found = [model.nats(whole[:, 1:])]
        for fresh, piece in ((True, whole[:, :16]), (False, whole[:, 15:])):
            model.zero_grad()
            loss = model.loss("rnn", piece, draws, fresh=fresh).value
            loss.backward()
            found += [loss.detach(), *(p.grad.clone() for p in model.parameters())]
        return found, model.carried()

    once, carried = learned(1)
    thrice, in_parts = learned(3)
    for one, other in zip(once, thrice, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert len(carried) == len(in_parts) == (3 if context > 1 else 2)
    for one, other in zip(carried, in_parts, strict=True):
        torch.testing.assert_close(one, other)


def test_dropout_comes_from_the_generator_and_only_in_training(items):
    model = build(config(layers=2, dropout=0.5), items(10))
    batch = symbols(8, 11)

    def loss(seed):
        return float(model.loss("rnn", batch, noise(seed), fresh=True).value.detach())

    assert loss(1) == loss(1)
    assert loss(1) != loss(2)
    assert torch.equal(model.nats(batch), model.nats(batch))


@pytest.mark.parametrize("cell", CELLS)
def test_samples_do_not_depend_on_the_batch_size(items, cell):
    model = build(config(cell=cell), items(20))
    first = model.sample(70, seed=5, batch_size=1)
    assert torch.equal(first, model.sample(70, seed=5, batch_size=33))
    assert first.shape == (70, 20)
    assert first.dtype == torch.int64
    assert not torch.equal(first, model.sample(70, seed=6))


def test_nats_do_not_depend_on_the_batch_size_or_the_neighbours(items):
    model = build(config(), items(20))
    data = symbols(150, 20)
    nats = model.nats(data, batch_size=7)
    assert torch.equal(nats, model.nats(data, batch_size=999))
    assert torch.equal(nats[:64], model.nats(data[:64]))


def test_samples_follow_the_models_own_distribution(items):
    model = build(config(), items(1, symbols=5))
    with torch.no_grad():
        model.output.bias.copy_(torch.tensor([0.0, 1.0, 2.0, -30.0, 0.5]))
        logits, _ = model(torch.tensor([[model.start]]), None)
    wanted = logits[0, 0].softmax(0)
    drawn = torch.bincount(model.sample(4096, seed=0)[:, 0], minlength=5) / 4096
    assert torch.allclose(drawn, wanted, atol=0.03)
    assert drawn[3] == 0


def test_sampling_keeps_its_state(items):
    """Close to temperature 0, every symbol is the likeliest after all those before it."""
    model = build(config(sampling=SamplingConfig(temperature=1e-6)), items(15))
    drawn = model.sample(1, seed=0)[0]
    sequence = torch.cat([torch.tensor([model.start]), drawn])
    logits, _ = model(sequence[None, :-1], None)
    assert torch.equal(logits[0].argmax(1), drawn)


def test_temperature_sharpens(items):
    model = build(config(), items(40, symbols=32))
    hot = model.nats(model.sample(64, seed=0, temperature=1.0)).mean()
    cold = model.nats(model.sample(64, seed=0, temperature=0.3)).mean()
    assert cold < hot


def test_text_never_contains_the_unknown_character_and_has_the_length_asked_for(text):
    model = build(config(), text)
    drawn = model.sample(20, seed=0, length=200)
    assert drawn.shape == (20, 200)
    assert drawn.min() == 1
    assert model.sample(1, seed=0).shape == (1, rnn.DEFAULT_LENGTH)


def test_bits_fall_as_it_learns_a_rule(items):
    """A sequence that counts up modulo 16 has no entropy after its first symbol."""
    model = build(config(hidden=24), items(16))
    data = (torch.arange(16)[None] + torch.arange(16)[:, None]) % 16
    start = torch.full((16, 1), model.start)
    batch = torch.cat([start, data], dim=1)
    optimiser = torch.optim.Adam(model.parameters(), 2e-2)
    for _ in range(150):
        loss = model.loss("rnn", batch, noise(), fresh=True)
        optimiser.zero_grad()
        loss.value.backward()
        optimiser.step()
    first = torch.log(torch.tensor(16.0))
    torch.testing.assert_close(model.nats(data).mean().float(), first, atol=0.3, rtol=0)


def test_log_likelihoods_are_normalised(items):
    """Over every sequence of a small alphabet the probabilities sum to one."""
    model = build(config(), items(3, symbols=4))
    every = torch.cartesian_prod(*[torch.arange(4)] * 3)
    assert float(model.nats(every).neg().exp().sum()) == pytest.approx(1, abs=1e-5)


def test_gradient_lags_equal_products_of_jacobians(items):
    """Back-propagation through time by hand, in double: h = tanh(W h + V x + b), y = U h + c."""
    model = build(config(cell="tanh", bptt=8), items(30))
    data = symbols(5, 30)
    cell = model.layers[0]
    with torch.no_grad():
        cell.weight_hh_l0.mul_(1.3)
    w, v = cell.weight_hh_l0.detach().double(), cell.weight_ih_l0.detach().double()
    b = (cell.bias_hh_l0 + cell.bias_ih_l0).detach().double()
    output = model.output.weight.detach().double()
    norms = torch.zeros(8, dtype=torch.float64)
    for row in data:
        x = model.embedding(torch.cat([torch.tensor([model.start]), row])[:8]).detach().double()
        states = [torch.zeros(10, dtype=torch.float64)]
        for t in range(8):
            states.append(torch.tanh(w @ states[-1] + v @ x[t] + b))
        predicted = (output @ states[-1] + model.output.bias.detach().double()).softmax(0)
        predicted[row[7]] -= 1
        by_state = output.T @ predicted
        for lag in range(1, 9):
            by_sum = (1 - states[9 - lag] ** 2) * by_state
            norms[lag - 1] += (v.T @ by_sum).norm() / 5
            by_state = w.T @ by_sum
    signals = model.health(data, seed=0)
    assert list(signals) == [f"gradient_lag.00{lag}" for lag in (1, 2, 4, 8)]
    for name, value in signals.items():
        assert value == pytest.approx(float(norms[int(name[-3:]) - 1]), rel=1e-4)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_gradients_vanish_or_explode_with_the_recurrent_weights(text, scale):
    """Where all states are 0, tanh has slope 1 and every symbol back is one more factor W."""
    model = build(config(cell="tanh", bptt=40), text)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name == "embedding.weight" or "bias" in name:
                weight.zero_()
        model.layers[0].weight_hh_l0.copy_(scale * torch.eye(10))
    signals = model.health(symbols(1, 500, top=12)[0], seed=0)
    assert list(signals)[-1] == "gradient_lag.032"
    for lag in (2, 4, 8, 16, 32):
        ratio = signals[f"gradient_lag.{lag:03d}"] / signals["gradient_lag.001"]
        assert ratio == pytest.approx(scale ** (lag - 1), rel=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_health_leaves_no_trace(items, cell):
    model = build(config(cell=cell, layers=2, context=3, dropout=0.5), items(10)).eval()
    data = symbols(3, 10)
    whole = torch.cat([torch.full((3, 1), model.start), data], dim=1)
    model.loss("rnn", whole[:, :6], noise(), fresh=True)
    carried, modes = model.carried(), []
    model.layers[0].register_forward_hook(lambda layer, *_: modes.append(layer.training))
    with torch.no_grad():
        assert model.health(data, seed=0) == model.health(data, seed=1)
    # cuDNN goes back only through what trains.
    assert modes == [True, True]
    assert model.carried() is carried
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("length", [2, 3, 5, 6, 7])
def test_health_and_validation_of_a_short_stream(text, length):
    model = build(config(), text)
    stream = symbols(1, length, top=12)[0]
    lags = [lag for lag in (1, 2, 4) if lag < min(length, 6)]
    assert list(model.health(stream, seed=0)) == [f"gradient_lag.00{lag}" for lag in lags]
    assert model.validation(stream, seed=0, batch_size=8)["loss"] > 0


@pytest.mark.parametrize(("number", "length"), [(1, 1), (2, 1), (1, 3), (100, 30)])
def test_health_of_few_short_or_many_items(items, number, length):
    model = build(config(), items(length))
    lags = [lag for lag in (1, 2, 4) if lag <= min(length, 5)]
    signals = model.health(symbols(number, length), seed=0)
    assert list(signals) == [f"gradient_lag.00{lag}" for lag in lags]
    assert all(value > 0 for value in signals.values())


def test_a_validation_split_that_predicts_nothing_is_refused(text):
    with pytest.raises(DataError, match="d: the validation split holds a single symbol"):
        build(config(), text).validation(torch.tensor([1]), seed=0, batch_size=8)


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_carried_can_be_taken_up_by_another_model(items, cell):
    first, second = (build(config(cell=cell, context=3), items(10)) for _ in range(2))
    batch = symbols(4, 11)
    assert first.carried() is None
    first.loss("rnn", batch[:, :6], noise(), fresh=True)
    second.carry(first.carried())
    losses = [m.loss("rnn", batch[:, 5:], noise(), fresh=False).value for m in (first, second)]
    assert torch.equal(*losses)


@pytest.mark.parametrize("given", [1, 7, 300])
def test_a_prompt_is_what_the_sequence_goes_on_from(text, given):
    """Nearly greedy, what follows the first symbols of a sequence is the rest of the sequence."""
    model = build(config(), text)
    with torch.no_grad():
        model.output.weight.mul_(5)
    whole = model.sample(1, seed=0, length=given + 20, temperature=1e-4)
    rest = model.sample(1, seed=1, length=20, temperature=1e-4, prompt=whole[:, :given])
    assert torch.equal(rest, whole[:, given:])


def test_every_row_has_its_own_prompt_whatever_their_number(text):
    model = build(config(), text)
    with torch.no_grad():
        model.embedding.weight.mul_(5)
    prompts = symbols(70, 3, top=text.symbols, seed=2)
    drawn = model.sample(70, seed=0, length=6, temperature=1e-4, prompt=prompts)
    assert len(drawn.unique(dim=0)) > 5
    alone = model.sample(1, seed=0, length=6, temperature=1e-4, prompt=prompts[69:])
    assert torch.equal(drawn[69:], alone)
