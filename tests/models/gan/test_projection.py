"""The projection discriminator, by known answers."""

import pytest
import torch
from torch import nn

from genmint.config import parse_model
from genmint.data.views.spec import DataSpec
from genmint.models.gan.adversarial import slopes
from genmint.models.gan.projection import Projection
from genmint.models.shared.noise import Noise
from genmint.models.shared.store import build

SPEC = DataSpec(dataset="d", kind="image", view="grid", shape=(1, 1, 2), labels=("a", "b", "c"))
BLOCK = {"family": "gan", "dataset": "d", "steps": 1, "hidden": [6], "latent": 2, "batch_size": 8,
         "conditional": True}  # fmt: skip


def linear():
    """φ(x) = W x, so that all is known; weights as drawn."""
    torch.manual_seed(0)
    return Projection(nn.Sequential(nn.Flatten(), nn.Linear(2, 5, bias=False), nn.Linear(5, 1)), 3)


def test_the_score_is_what_the_paper_says():
    judge, x, labels = linear(), torch.randn(7, 1, 1, 2), torch.arange(7) % 3
    phi = x.flatten(1) @ judge.features[1].weight.T
    psi = phi @ judge.score.weight[0] + judge.score.bias
    expected = psi + (judge.label.weight[labels] * phi).sum(1)
    torch.testing.assert_close(judge(x, labels), expected[:, None])
    # With the same samples only the vector of the class makes a difference, a linear one in φ.
    other = judge(x, (labels + 1) % 3) - judge(x, labels)
    apart = judge.label.weight[(labels + 1) % 3] - judge.label.weight[labels]
    torch.testing.assert_close(other[:, 0], (apart * phi).sum(1))


def test_the_slope_that_is_penalised_is_of_the_score_with_its_label():
    judge, x, labels = linear(), torch.randn(6, 1, 1, 2), torch.arange(6) % 3
    found = slopes(lambda grid: judge(grid, labels), x)
    direction = judge.score.weight + judge.label.weight[labels]
    torch.testing.assert_close(found, (direction @ judge.features[1].weight).norm(dim=1))


@pytest.mark.parametrize("more", [{}, {"minibatch_stddev": 4}])
def test_spectral_norm_bounds_the_vectors_of_the_classes_too(more):
    model = build(parse_model({**BLOCK, "spectral_norm": True, **more}), SPEC).train()
    source = Noise(torch.Generator().manual_seed(0))
    batch = torch.randint(0, 256, (8, 1, 1, 2)).to(torch.uint8)
    for _ in range(30):
        model.loss("discriminator", batch, source, fresh=True, labels=torch.arange(8) % 3)
    assert model.discriminator.label.weight.shape == (3, 7 if more else 6)
    largest = torch.linalg.matrix_norm(model.discriminator.label.weight, ord=2)
    assert float(largest.detach()) == pytest.approx(1, abs=0.01)


def test_real_and_fake_are_of_the_same_labels():
    block = {**BLOCK, "penalty": {"name": "wgan-gp"}, "loss": "wasserstein"}
    model = build(parse_model(block), SPEC)
    begun, judged = [], []
    model.generator.register_forward_pre_hook(lambda _, given: begun.append(given[0]))
    model.discriminator.register_forward_pre_hook(lambda _, given: judged.append(given[1]))
    batch, labels = torch.zeros(8, 1, 1, 2, dtype=torch.uint8), torch.arange(8) % 3
    source = Noise(torch.Generator().manual_seed(0))
    for phase in model.phases():
        model.loss(phase.group, batch, source, fresh=True, labels=labels)
    assert begun[0][:, 2:].argmax(1).tolist() == labels.tolist()
    # Real, fake, between them for the penalty; and in the generator's turn.
    assert len(judged) == 4
    assert all(torch.equal(each, labels) for each in judged)


def test_the_choice_of_the_best_weights_looks_at_each_class_by_itself():
    """A generator that gives each class what is another's has the right samples as a whole."""
    model = build(parse_model(BLOCK), SPEC)
    levels = torch.tensor([-2.0, 0.0, 2.0])
    model.generator = Table(levels)
    labels = torch.arange(60) % 3
    data = ((levels[labels].tanh() * 0.5 + 0.5) * 255).round().to(torch.uint8)
    data = data.view(60, 1, 1, 1).expand(-1, 1, 1, 2).contiguous()
    right = model.validation(data, seed=0, batch_size=8, labels=labels)["loss"]
    assert right == 0.0
    wrong = model.validation(data, seed=0, batch_size=8, labels=(labels + 1) % 3)["loss"]
    assert wrong > 0.2


class Table(nn.Module):
    """Both pixels are what a table says of the label."""

    def __init__(self, levels):
        super().__init__()
        self.levels = levels

    def forward(self, begun):
        return (begun[:, 2:] @ self.levels)[:, None, None, None].expand(-1, 1, 1, 2)
