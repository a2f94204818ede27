"""Optimisers and their schedules."""

from __future__ import annotations

import math

import torch
from torch import nn

from genmint.config import Optimiser


class Descent:
    """One optimiser with its schedule and its limit on the gradient."""

    def __init__(self, settings: Optimiser, parameters: list[nn.Parameter], steps: int) -> None:
        """Build it for a training of `steps` steps."""
        self.settings = settings
        self.parameters = parameters
        self.steps = steps
        self.optimiser = build(settings, parameters)

    def step(self, loss: torch.Tensor, step: int) -> None:
        """Descend `loss` in step `step`, counted from 0."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        if self.settings.schedule != "constant":
            rate = self.settings.lr * factor(self.settings.schedule, step, self.steps)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
        self.optimiser.step()


def build(settings: Optimiser, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser that `settings` describes, over `parameters`.

    Fused: one kernel for all tensors, since small models otherwise spend their time on launches.
    """
    if settings.name == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            fused=True,
        )
    kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return kind(
        parameters,
        lr=settings.lr,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def factor(schedule: str, step: int, steps: int) -> float:
    """What the learning rate is multiplied by in step `step` (from 0) of `steps`.

    cosine falls from 1 to 0 along half a cosine (Loshchilov and Hutter 2017, without restarts).
    """
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * step / steps))
    return 1.0
