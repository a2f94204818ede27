"""What keeps a recurrent network's gradient alive, and what keeps it from learning by heart."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from genmint.data.views.spec import DataSpec
from genmint.models.shared import store
from genmint.models.shared.noise import Noise
from genmint.models.shared.store import build
from genmint.training.stepper import Stepper

LETTERS = ("<unk>", "<s>", *"abcdefghij")
TEXT = DataSpec(
    dataset="d", kind="text", view="sequence", shape=(), symbols=len(LETTERS), vocabulary=LETTERS
)
CLIPS = DataSpec(
    dataset="d", kind="audio", view="sequence", shape=(20,), symbols=16, sample_rate=8000,
    samples=20,
)  # fmt: skip


@pytest.fixture
def rnn(block):
    def make(spec=TEXT, **said):
        keys = {"cell": "lstm", "hidden": 16, "embedding": 8, "bptt": 128, "seed": 0, **said}
        return build(block("rnn", **keys), spec)

    return make


def stream(length=300, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, len(LETTERS), (length,), generator=generator)


def noise(seed=0, rank=0, world=1):
    return Noise(torch.Generator().manual_seed(seed), rank, world)


def batch(rows=6, length=9, seed=1):
    return stream(rows * length, seed).view(rows, length)


def reach(model, lag=128):
    """Gradient of a prediction by the symbol `lag` before, over that by the last one."""
    signals = model.health(stream(2000), seed=0)
    return signals[f"gradient_lag.{lag:03d}"] / signals["gradient_lag.001"]


def trained(model, data, steps):
    stepper = Stepper(model, model.config, data, "fp32")
    for step in range(steps):
        stepper.step(step)
    return model


def inputs_of(model, path):
    """What a module is given in one training batch."""
    seen = []
    hook = model.get_submodule(path).register_forward_pre_hook(
        lambda _, given: seen.append(given[0].detach())
    )
    model.loss("rnn", batch(), noise(), fresh=True)
    hook.remove()
    return seen[0]


@pytest.mark.switch("rnn.residual")
def test_layers_that_give_nothing_let_everything_pass(rnn):
    """x + f(x): with f = 0 a deep network is the shallow one."""
    deep, shallow = rnn(cell="tanh", layers=4, residual=True), rnn(cell="tanh")
    same = {k: v for k, v in deep.state_dict().items() if k in shallow.state_dict()}
    shallow.load_state_dict(same)
    with torch.no_grad():
        for parameter in deep.layers[1:].parameters():
            parameter.zero_()
        assert torch.equal(deep(batch(), None)[0], shallow(batch(), None)[0])


@pytest.mark.switch("rnn.residual")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_gradient_reaches_the_lowest_of_twelve_layers(rnn, seed):
    def share(**said):
        model = rnn(cell="tanh", layers=12, init="uniform", seed=seed, **said)
        model.loss("rnn", batch(), noise(), fresh=True).value.backward()
        lowest, top = (model.layers[i].weight_ih_l0.grad.norm() for i in (0, -1))
        return float(lowest / top)

    assert share() < 0.02
    assert share(residual=True) > 0.5


@pytest.mark.switch("rnn.layer_norm")
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("path", ["layers.1", "layers.2", "output"])
def test_what_is_read_has_mean_0_and_variance_1(rnn, residual, path):
    read = inputs_of(rnn(layers=3, layer_norm=True, residual=residual), path)
    shape = read.shape[:-1]
    torch.testing.assert_close(read.mean(-1), torch.zeros(shape), atol=1e-5, rtol=0)
    # Its own ε of 1e-5 is not small beside the variance of an untrained LSTM's state.
    torch.testing.assert_close(read.var(-1, correction=0), torch.ones(shape), atol=0.1, rtol=0)


@pytest.mark.switch("rnn.layer_norm")
def test_the_size_of_what_a_layer_says_does_not_matter(rnn):
    """Invariance to re-scaling of the weights before it (Ba et al. 2016, table 1)."""
    model = rnn(cell="tanh", layers=2, layer_norm=True)
    inputs = []
    model.layers[1].register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    model.layers[0].register_forward_hook(lambda _, __, out: (out[0] * 7, out[1]))
    with torch.no_grad():
        model(batch(), None)
        model.layers[0]._forward_hooks.clear()
        model(batch(), None)
    torch.testing.assert_close(inputs[0], inputs[1], atol=2e-3, rtol=0)


@pytest.mark.switch("rnn.forget_bias")
@pytest.mark.parametrize("bias", [1.0, 3.0])
def test_the_cell_keeps_the_sigmoid_of_its_bias(rnn, bias):
    """Without inputs c_t = σ(b) c_{t−1}, whatever was in it."""
    model = rnn(forget_bias=bias)
    drawn = dict(model.layers[0].named_parameters())
    with torch.no_grad():
        for name, weight in drawn.items():
            if "weight" in name:
                weight.zero_()
        cell, without = torch.ones(1, 1, 16), torch.zeros(1, 1, 16)
        x = torch.zeros(1, 1, 8)
        after = [model.layers[0](x, (torch.zeros_like(cell), c))[1][1] for c in (cell, without)]
    # PyTorch draws both of its biases from ±1/√hidden; the switch adds to one of them.
    kept = (after[0] - after[1]).flatten()
    low, high = (torch.sigmoid(torch.tensor(bias + edge)) for edge in (-0.5, 0.5))
    assert low <= kept.min()
    assert kept.max() <= high


@pytest.mark.switch("rnn.forget_bias")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_gradient_survives_a_hundred_symbols_with_open_forget_gates(rnn, seed):
    assert reach(rnn(seed=seed)) < 1e-12
    assert reach(rnn(seed=seed, forget_bias=1.0)) > 1e-7
    assert reach(rnn(seed=seed, forget_bias=5.0)) > 1


@pytest.mark.switch("rnn.init")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_gradient_survives_in_an_orthogonal_network_and_vanishes_in_a_plain_one(rnn, seed):
    def quiet(**said):
        """Close to 0, where tanh is linear and W_hh alone decides."""
        model = rnn(cell="tanh", hidden=32, seed=seed, **said)
        with torch.no_grad():
            model.embedding.weight.mul_(0.01)
            model.layers[0].bias_ih_l0.zero_()
            model.layers[0].bias_hh_l0.zero_()
        return reach(model)

    assert quiet(init="orthogonal") > 0.1
    assert quiet(init="uniform") < 1e-9


@pytest.mark.switch("rnn.attention")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_gradient_goes_past_the_recurrence_by_attention(rnn, seed):
    assert reach(rnn(seed=seed)) < 1e-12
    assert reach(rnn(seed=seed, attention=200)) > 1e-3
    # What lies before the window is reached through the recurrence alone.
    assert reach(rnn(seed=seed, attention=50)) < 1e-9


@pytest.mark.switch("rnn.attention")
def test_attention_is_the_written_formula(rnn):
    model = rnn(attention=4)
    states = []
    model.layers[-1].register_forward_hook(lambda _, __, out: states.append(out[0][0]))
    with torch.no_grad():
        logits = model(batch(1), None)[0][0]
        for t, state in enumerate(states[0]):
            past = states[0][max(0, t - 3) : t + 1]
            if model.attention is not None:
                shares = (past @ (model.attention.query.weight @ state)).softmax(0)
                both = torch.cat([shares @ past, state])
                state = (model.attention.out.weight @ both).tanh()
            else:
                state = past.mean(0)
            torch.testing.assert_close(logits[t], model.output(state))


@pytest.mark.switch("rnn.variational_dropout")
@pytest.mark.parametrize("path", ["layers.0", "layers.1", "output"])
def test_one_mask_for_all_symbols(rnn, path):
    read = inputs_of(rnn(layers=2, dropout=0.5, variational_dropout=True), path)
    zero = read == 0
    assert torch.equal(zero, zero[:, :1].expand_as(zero))
    # Each sequence has its own, and about half is dropped.
    assert 0.3 < float(zero.float().mean()) < 0.7
    assert not torch.equal(zero[0], zero[1])


@pytest.mark.switch("rnn.recurrent_dropout")
def test_dropped_weights_do_not_learn(rnn):
    model = rnn(layers=2, recurrent_dropout=0.3)
    before = [parameter.clone() for parameter in model.parameters()]
    model.loss("rnn", batch(), noise(), fresh=True).value.backward()
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
    for name, parameter in model.layers.named_parameters():
        share = float((parameter.grad == 0).float().mean())
        assert 0.2 < share < 0.4 if "weight_hh" in name else share == 0


@pytest.mark.switch("rnn.tie_weights")
@pytest.mark.parametrize("spec", [TEXT, CLIPS], ids=["text", "items"])
@pytest.mark.parametrize("hidden", [8, 16])
def test_input_and_output_share_one_table_in_the_file_too(rnn, tmp_path, spec, hidden):
    model = rnn(spec, hidden=hidden, tie_weights=True)
    record = {
        "name": "m", "model": model.config, "data": spec, "prepared": "p", "resolved": {},
    }  # fmt: skip
    store.save(tmp_path, model, record)
    loaded, _ = store.load(tmp_path)
    rows = len(loaded.embedding.weight)
    tables = [n for n, weight in loaded.state_dict().items() if rows - 1 <= len(weight) <= rows]
    assert tables == ["embedding.weight", "output.bias"]
    data = batch(4, 20) if spec is CLIPS else stream(50)
    before = loaded.nats(data)
    assert torch.equal(before, model.nats(data))
    with torch.no_grad():
        loaded.embedding.weight[5] += 1
        state = loaded.embedding.weight.new_ones(1, 1, hidden)
        logits = loaded._read_out(state)[0, 0]
        by_hand = loaded.embedding.weight[: spec.symbols] @ loaded.output.projection(state[0, 0])
    torch.testing.assert_close(logits, by_hand + loaded.output.bias)
    assert not torch.equal(before, loaded.nats(data))


def rule(length, seed):
    """A text of a simple rule: the next letter is one of two that the last one decides."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randint(1, 3, (length,), generator=generator)
    return 2 + steps.cumsum(0) % 10


def losses(model, length):
    """Nats per symbol of the text it learnt from, and of another by the same rule, over log 2."""
    train, held_out = rule(length, 0), rule(2000, 1)
    trained(model, train, model.config.steps)
    return [
        model.validation(data, seed=0, batch_size=8)["loss"] / math.log(2)
        for data in (train, held_out)
    ]


def small(**said):
    optimiser = {"lr": 2e-2, "clip_norm": 1.0, "schedule": "cosine"}
    return {"bptt": 16, "batch_size": 8, "optimiser": optimiser, "validate_every": 1000, **said}


def assert_narrowed(plain, dropped):
    # The training text is told in less than the rule allows: by heart.
    assert plain[0] < 0.8
    assert dropped[1] - dropped[0] < 0.6 * (plain[1] - plain[0])
    assert dropped[1] < plain[1]


@pytest.mark.switch("rnn.variational_dropout")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_single_layer_memorises_less_with_masks_at_its_input_and_output(rnn, seed):
    block = small(hidden=32, steps=150, seed=seed)
    said = {"dropout": 0.5, "variational_dropout": True}
    assert_narrowed(losses(rnn(**block), 400), losses(rnn(**block, **said), 400))


@pytest.mark.switch("rnn.recurrent_dropout")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_single_layer_memorises_less_without_some_of_its_weights(rnn, seed):
    block = small(hidden=32, steps=150, seed=seed)
    assert_narrowed(losses(rnn(**block), 400), losses(rnn(**block, recurrent_dropout=0.5), 400))


@pytest.mark.switch("rnn.weight_noise")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_small_text_is_not_memorised_with_weight_noise(rnn, seed):
    block = small(cell="tanh", steps=600)
    plain = losses(rnn(seed=seed, **block), 600)
    noisy = losses(rnn(seed=seed, weight_noise=0.075, **block), 600)
    assert plain[0] < 0.9
    assert noisy[1] - noisy[0] < 0.25 * (plain[1] - plain[0])
    # And yet the rule is learnt: ten letters at random would be 3.3.
    assert noisy[1] < min(plain[1], 1.3)


@pytest.mark.switch("rnn.weight_noise")
def test_the_cost_of_the_weights_is_their_divergence_from_the_best_prior(rnn):
    model = rnn(weight_noise=0.05)
    model.learns_from(stream(500))
    found = model.loss("rnn", batch(), noise(), fresh=True)
    assert "complexity" in found.scalars
    weights = torch.cat([w.detach().flatten() for n, w in model.named_parameters()
                         if n != "posterior.log_sigma"])  # fmt: skip
    with torch.no_grad():
        # So that not all variances are the same.
        model.posterior.log_sigma += 0.3 * torch.randn(
            len(weights), generator=torch.Generator().manual_seed(0)
        )
    sigma = model.posterior.log_sigma.detach().exp()
    said = model.loss("rnn", batch(), noise(), fresh=True).scalars["complexity"] * 500

    def divergence(mean, spread):
        return float(kl_divergence(Normal(weights, sigma), Normal(mean, spread)).sum())

    mean = weights.mean()
    spread = ((weights - mean).square() + sigma.square()).mean().sqrt()
    assert float(said) == pytest.approx(divergence(mean, spread), rel=1e-4)
    for other in ((mean + 0.02, spread), (mean, 1.1 * spread), (mean, 0.9 * spread)):
        assert divergence(*other) > float(said)


@pytest.mark.switch("rnn.weight_noise")
def test_the_noise_is_new_in_every_batch_and_the_same_in_every_process(rnn):
    model = rnn(weight_noise=0.1)

    def loss(draws):
        return float(model.loss("rnn", batch(), draws, fresh=True).scalars["loss"])

    one = noise()
    first = [loss(one), loss(one)]
    assert first[0] != first[1]
    second = noise(rank=1, world=2)
    assert first == [loss(second), loss(second)]
    # Nothing of it is left in evaluation.
    assert torch.equal(model.nats(stream()), model.nats(stream()))
    assert all(parameter.is_leaf for parameter in model.parameters())


@pytest.mark.switch("rnn.random_offsets")
def test_every_epoch_of_a_text_is_cut_elsewhere(rnn):
    model = rnn(random_offsets=True, bptt=8, batch_size=2)
    stepper = Stepper(model, model.config, stream(100), "fp32")
    begun = []
    while stepper.epoch < 6:
        stepper.step(0)
        if stepper._batch.fresh:
            begun.append(int(stepper._batch.data[0, 0]))
    assert len(set(begun)) > 2
