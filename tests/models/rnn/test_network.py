"""With every switch on, an RNN still scores, carries, samples and trains as it must."""

import copy
import itertools

import pytest
import torch

from genmint.common.errors import ConfigError
from genmint.config import parse_model
from genmint.models.rnn import model as rnn
from genmint.models.shared.noise import Noise
from genmint.models.shared.store import build
from genmint.training.devices import can_compute

BLOCK = {"family": "rnn", "dataset": "d", "steps": 1, "hidden": 10, "embedding": 6, "bptt": 5}
NETWORK = {"layers": 3, "context": 4, "residual": True, "layer_norm": True, "attention": 5,
           "tie_weights": True}  # fmt: skip
EVERYTHING = {**NETWORK, "dropout": 0.3, "variational_dropout": True, "recurrent_dropout": 0.3,
              "weight_noise": 0.05}  # fmt: skip
CELLS = ["tanh", "lstm", "gru"]


def model_of(spec, cell="lstm", **said):
    """Large weights, so that nothing is too small to be seen."""
    model = build(parse_model({**BLOCK, "cell": cell, **said}), spec)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("attention"):
                parameter.mul_(3)
    return model


def symbols(n, length, top=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, top, (n, length), generator=generator)


def noise(seed=0):
    return Noise(torch.Generator().manual_seed(seed))


def naive_nats(model, sequence):
    state, values = None, []
    with torch.no_grad():
        for now, following in itertools.pairwise(sequence):
            logits, state = model(now.view(1, 1), state)
            values.append(-logits[0, 0].double().softmax(0)[following].log())
    return torch.stack(values)


@pytest.mark.parametrize("cell", CELLS)
def test_nats_of_items_equal_a_naive_loop(items, cell):
    model = model_of(items(19), cell, **EVERYTHING)
    data = symbols(3, 19)
    start = torch.tensor([model.start])
    expected = torch.stack([naive_nats(model, torch.cat([start, row])).sum() for row in data])
    torch.testing.assert_close(model.nats(data), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("length", [9, 18, 27, 41])
def test_a_long_stream_is_scored_with_the_attention_that_its_context_allows(
    text, monkeypatch, length
):
    monkeypatch.setattr(rnn, "SEGMENT", 8)
    monkeypatch.setattr(rnn, "CONTEXT", 4)
    monkeypatch.setattr(rnn, "_PASS", 3)
    model = model_of(text, **NETWORK)
    stream = symbols(1, length, top=12)[0]
    nats = model.nats(stream)
    for t in range(length - 1):
        begin = 0 if t < 8 else t // 8 * 8 - 4
        expected = naive_nats(model, stream[begin : t + 2])[-1]
        torch.testing.assert_close(nats[t], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_no_symbol_sees_its_future(items, cell):
    model = model_of(items(12), cell, **NETWORK)
    before = symbols(2, 12)
    after = before.clone()
    after[:, 7:] = (after[:, 7:] + 1) % 16
    first, second = (model(inputs, None)[0] for inputs in (before, after))
    assert torch.equal(first[:, :7], second[:, :7])
    assert not torch.equal(first[:, 7:], second[:, 7:])


@pytest.mark.parametrize("cell", CELLS)
def test_state_is_carried_and_reset(items, cell):
    model = model_of(items(10), cell, **NETWORK)
    whole = torch.cat([torch.full((4, 1), model.start), symbols(4, 10)], dim=1)

    def loss(piece, fresh):
        return model.loss("rnn", piece, noise(), fresh=fresh).value.detach()

    once = loss(whole, True)
    first, second = loss(whole[:, :6], True), loss(whole[:, 5:], False)
    torch.testing.assert_close((first + second) / 2, once)
    assert not torch.equal(loss(whole[:, 5:], True), second)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_in_parts_gives_what_the_whole_gives(items, monkeypatch, cell, threads):
    model = model_of(items(30), cell, **EVERYTHING)
    whole = torch.cat([torch.full((70, 1), model.start), symbols(70, 30)], dim=1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)

    def learned(count):
        monkeypatch.setattr(rnn.recurrent, "parts_of", lambda *_: count)
        draws, found = noise(), [model.nats(whole[:, 1:])]
        for fresh, piece in ((True, whole[:, :16]), (False, whole[:, 15:])):
            model.zero_grad()
            loss = model.loss("rnn", piece, draws, fresh=fresh)
            loss.value.backward()
            found += [loss.value.detach(), *loss.scalars.values()]
            found += [parameter.grad.clone() for parameter in model.parameters()]
        return found, model.carried()

    once, carried = learned(1)
    thrice, in_parts = learned(3)
    for one, other in zip(once, thrice, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
    assert len(carried) == len(in_parts) == 5
    for one, other in zip(carried, in_parts, strict=True):
        torch.testing.assert_close(one, other)


def test_results_do_not_depend_on_the_batch_size_or_the_neighbours(items):
    model = model_of(items(20), **EVERYTHING)
    data = symbols(150, 20)
    nats = model.nats(data, batch_size=7)
    assert torch.equal(nats, model.nats(data, batch_size=999))
    assert torch.equal(nats[:64], model.nats(data[:64]))
    drawn = model.sample(70, seed=5, batch_size=1)
    assert torch.equal(drawn, model.sample(70, seed=5, batch_size=33))
    assert drawn.max() < 16


def test_a_prompt_is_what_the_sequence_goes_on_from(text):
    model = model_of(text, **NETWORK)
    whole = model.sample(1, seed=0, length=30, temperature=1e-4)
    rest = model.sample(1, seed=1, length=20, temperature=1e-4, prompt=whole[:, :10])
    assert torch.equal(rest, whole[:, 10:])


def test_it_trains_in_bfloat16_and_can_be_copied_after_a_step(items):
    model = model_of(items(30), **EVERYTHING)
    if not can_compute(model.config, "bf16", torch.device("cpu")):
        pytest.skip("this processor has no LSTM in bf16")
    whole = torch.cat([torch.full((70, 1), model.start), symbols(70, 30)], dim=1)
    exact = float(model.loss("rnn", whole, noise(), fresh=True).value.detach())
    for fresh in (True, False):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model.loss("rnn", whole, noise(), fresh=fresh)
        loss.value.backward()
        assert float(loss.value.detach()) == pytest.approx(exact, rel=0.05)
    twin = copy.deepcopy(model)
    assert torch.equal(twin.nats(whole[:, 1:]), model.nats(whole[:, 1:]))
    assert all(isinstance(p, torch.nn.Parameter) and p.grad is not None
               for p in model.parameters())  # fmt: skip


@pytest.mark.parametrize("name", ["residual", "layer_norm", "attention", "tie_weights"])
def test_health_looks_through_every_switch(items, name):
    said = {name: NETWORK[name], "layers": 2}
    signals = model_of(items(20), **said).health(symbols(5, 20), seed=0)
    assert list(signals) == ["gradient_lag.001", "gradient_lag.002", "gradient_lag.004"]
    assert all(value > 0 for value in signals.values())


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"residual": True}, "residual connects layers: set layers to 2 or more"),
        ({"cell": "gru", "forget_bias": 1.0}, "forget_bias: gru has no forget gate; set cell"),
        ({"variational_dropout": True}, "dropout is 0: set dropout above 0"),
        ({"attention": 1}, "attention: 1 sees no past; set 2 to 512"),
        ({"attention": 513}, "attention"),
        ({"recurrent_dropout": 1.0}, "recurrent_dropout must be below 1"),
        (
            {"weight_noise": 0.1, "optimiser": {"lr": 1e-3, "weight_decay": 0.1}},
            "set optimiser.weight_decay to 0",
        ),
        ({"sampling": {"top_k": 0}}, "sampling.top_k"),
        ({"sampling": {"top_p": 0.0}}, "sampling.top_p"),
        ({"sampling": {"top_p": 1.1}}, "sampling.top_p"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_remedy(said, words):
    with pytest.raises(ConfigError, match=words):
        parse_model({**BLOCK, "cell": "lstm", **said})
