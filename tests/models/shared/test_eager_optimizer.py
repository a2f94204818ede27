import subprocess
import sys

import pytest
import torch
from torch import nn

from genmint.models.shared import eager_optimizer


@pytest.mark.parametrize(
    "make",
    [
        lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, fused=True),
        lambda weights: torch.optim.Adam(weights, lr=0.1, fused=True),
        lambda weights: torch.optim.AdamW(weights, lr=0.1, weight_decay=0.1),
    ],
    ids=["sgd", "adam", "adamw"],
)
def test_a_step_is_torchs_step(make):
    def descended(step):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        optimiser = make(model.parameters())
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 5)
        for _ in range(3):
            optimiser.zero_grad()
            model(torch.ones(4, 3)).square().sum().backward()
            step(optimiser)
            schedule.step()
        return model.weight.detach()

    eager_optimizer.spare_compiler()
    assert torch.equal(
        descended(eager_optimizer.step), descended(lambda optimiser: optimiser.step())
    )


@pytest.mark.filterwarnings("error")
def test_a_schedule_sees_that_steps_were_done():
    weight = nn.Parameter(torch.ones(1))
    optimiser = torch.optim.SGD([weight], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 5)
    weight.sum().backward()
    eager_optimizer.step(optimiser)
    schedule.step()


def test_a_training_run_does_not_import_the_compiler():
    """From the first weight to a checkpoint and back; `training.optimisers` is what trains."""
    code = (
        "import copy, sys, torch\n"
        "from genmint.config import Optimiser\n"
        "from genmint.training.optimisers import Descent\n"
        "weight = torch.nn.Parameter(torch.ones(1))\n"
        "descent = Descent(Optimiser(lr=0.1, clip_norm=1.0), [weight], 10)\n"
        "descent.clear(); descent.backward(weight.sum()); descent.step(0)\n"
        "descent.restore(descent.state())\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
