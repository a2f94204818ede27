"""The codebook of a VQ-VAE, and what keeps its codes in use."""

import pytest
import torch
from sklearn.datasets import load_digits

from genmint.data.views.spec import DataSpec
from genmint.models.shared.store import build
from genmint.training.loop import fit

SEEDS = range(3)
SPEC = DataSpec(dataset="digits", kind="image", view="grid", shape=(1, 8, 8))


@pytest.mark.switch("vae.restart_codes")
@pytest.mark.parametrize("seed", SEEDS)
def test_restarts_keep_nearly_all_codes_in_use(block, seed):
    """Dhariwal et al. 2020, section 3.1: without them the codebook collapses to a third."""
    data = torch.from_numpy((load_digits().images * 255 / 16).round().astype("uint8"))[:, None]
    config = block(
        "vae", network="vq", hidden=(16, 16), code_width=8, likelihood="discretised-logistic",
        activation="silu", batch_size=64, optimiser={"lr": 5e-3}, codes=64,
        restart_codes=0.5, steps=200, validate_every=200, seed=seed,
    )  # fmt: skip
    outcome = fit("digits", build(config, SPEC), config, data[:1500], data[1500:])
    assert outcome.history[-1]["codes_used"] > 0.85
