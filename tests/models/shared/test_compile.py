import functools
import os
import shutil

import pytest
import torch

from genmint.config import GANConfig, VAEConfig
from genmint.config.models import Ada, Penalty
from genmint.models.shared.noise import Noise
from genmint.models.shared.store import build

CONFIGS = {
    "vae": VAEConfig(family="vae", dataset="d", steps=1, hidden=(6,), latent=2),
    "remedies": VAEConfig(
        family="vae",
        dataset="d",
        steps=1,
        hidden=(6,),
        latent=2,
        prior="vamp",
        pseudo_inputs=3,
        second_level={"latent": 2},
        importance_samples=2,
        norm="layer",
        likelihood="gaussian",
    ),
    "hierarchical": VAEConfig(
        family="vae",
        dataset="d",
        steps=1,
        network="hierarchical",
        hierarchy={"groups": (1, 1), "width": 4, "channels": 2},
        conditional=True,
    ),
    "vq": VAEConfig(
        family="vae",
        dataset="d",
        steps=1,
        network="vq",
        hidden=(4,),
        codes=5,
        code_width=2,
    ),
    "gan": GANConfig(family="gan", dataset="d", steps=1, hidden=(6,), latent=2),
    "conditional": VAEConfig(
        family="vae",
        dataset="d",
        steps=1,
        hidden=(4, 4),
        latent=2,
        network="conv",
        conditional=True,
    ),
    # Its penalty is differentiated twice, which a translation cannot be.
    "wgan-gp": GANConfig(
        family="gan",
        dataset="d",
        steps=1,
        hidden=(6,),
        latent=2,
        loss="wasserstein",
        penalty=Penalty(name="wgan-gp"),
        spectral_norm=True,
        conditional=True,
    ),
    "r3gan": GANConfig(
        family="gan",
        dataset="d",
        steps=1,
        hidden=(4, 4),
        latent=2,
        network="r3",
        group_width=4,
        loss="relativistic",
        penalty=Penalty(name="r1r2"),
        ada=Ada(),
    ),
}

# Half a minute of C++ for a VAE is enough: the many graphs of a GAN are only traced.
CASES = [
    pytest.param(
        "vae",
        "inductor",
        marks=[
            pytest.mark.soak,
            pytest.mark.skipif(
                shutil.which(os.environ.get("CXX", "g++")) is None,
                reason="torch.compile translates to C++, and there is no g++",
            ),
        ],
    ),
    ("remedies", "aot_eager"),
    ("conditional", "aot_eager"),
    ("vq", "aot_eager"),
    ("gan", "aot_eager"),
    ("wgan-gp", "aot_eager"),
    ("r3gan", "aot_eager"),
]


def turned(model):
    """Losses and gradients of every turn of a step."""
    source, found = Noise(torch.Generator().manual_seed(0)), []
    batch = torch.arange(8 * 64).mul(37).remainder(256).to(torch.uint8).view(8, 1, 8, 8)
    for phase in model.phases():
        model.zero_grad(set_to_none=True)
        labels = torch.arange(8) % 3 if model.config.conditional else None
        loss = model.loss(phase.group, batch, source, fresh=True, labels=labels)
        loss.value.backward()
        found += [loss.value.detach(), *loss.scalars.values()]
        found += [p.grad for p in model.parameters() if p.grad is not None]
    return found


@pytest.mark.parametrize(("family", "backend"), CASES)
def test_a_compiled_model_is_the_same_model(grid, monkeypatch, family, backend):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    spec = grid(1, 8, 8).model_copy(update={"labels": ("a", "b", "c")})
    plain, compiled = (build(CONFIGS[family], spec) for _ in range(2))
    compiled.compile()
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    torch.testing.assert_close(turned(compiled), turned(plain), rtol=1e-4, atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > before
    assert list(compiled.state_dict()) == list(plain.state_dict())
    assert torch.equal(compiled.sample(5, seed=0), plain.sample(5, seed=0))
