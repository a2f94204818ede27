"""A conditional VAE, by known answers."""

import math

import torch
from torch import nn
from torch.nn import functional

from genmint.config import parse_model
from genmint.data.views.spec import DataSpec
from genmint.models.shared.store import build
from genmint.models.vae.labelled import LabelledEncoder

SPEC = DataSpec(
    dataset="d", kind="image", view="grid", shape=(1, 2, 4), labels=("one", "two", "three")
)
BLOCK = {"family": "vae", "dataset": "d", "steps": 1, "hidden": [4], "latent": 2,
         "conditional": True}  # fmt: skip


class OfLabel(nn.Module):
    """Logits that are known for each label, N×(L+K) to N×1×2×4."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, z):
        return (z[:, 2:] @ self.logits).view(-1, 1, 2, 4)


def test_the_bounds_of_a_decoder_that_knows_the_class_alone_are_its_likelihood():
    logits = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    model = build(parse_model(BLOCK), SPEC)
    model.decoder = OfLabel(logits)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.zero_()
    pixels = torch.randint(0, 2, (70, 1, 2, 4), generator=torch.Generator().manual_seed(1))
    labels = torch.arange(70) % 3
    expected = -functional.binary_cross_entropy_with_logits(
        logits[labels], pixels.flatten(1).float(), reduction="none"
    ).sum(1)
    data = (pixels * 255).to(torch.uint8)
    bound = model.elbo(data, seed=0, labels=labels)
    torch.testing.assert_close(bound["elbo"].float(), expected)
    weighted = model.importance_weighted(data, k=20, seed=0, labels=labels)
    torch.testing.assert_close(weighted.float(), expected)
    drawn = model.sample(70, seed=0, labels=labels)
    assert torch.equal(drawn.flatten(1), (logits.sigmoid() * 255).round().to(torch.uint8)[labels])
    assert math.isclose(model.validation(data, seed=0, batch_size=8, labels=labels)["loss"],
                        -float(expected.mean()), rel_tol=1e-6)  # fmt: skip


def test_places_see_the_plane_of_their_label_and_a_vector_sees_its_one_hot():
    x, labels = torch.zeros(3, 1, 8, 8), torch.arange(3)
    said = {"act": "relu", "norm": "none", "attention": False}
    conv = LabelledEncoder("conv", (1, 8, 8), [4], 2, 3, **said)
    first = conv.network[0].convolution
    assert first.in_channels == 2
    plane = conv.plane(labels).view(3, 1, 8, 8)
    seen = []
    first.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    conv(x, labels)
    assert torch.equal(seen[0], torch.cat([x, plane], dim=1))
    mlp = LabelledEncoder("mlp", (1, 8, 8), [4], 2, 3, **said)
    assert mlp.plane is None
    weight = mlp.network[1].weight
    assert weight.shape == (4, 64 + 3)
    mlp.network[1].register_forward_hook(lambda _, given, found: seen.append(found))
    mlp(x, labels)
    torch.testing.assert_close(seen[-1], weight[:, 64:].T + mlp.network[1].bias)
