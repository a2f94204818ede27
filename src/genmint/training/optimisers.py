"""Optimisers and learning rate schedules."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from genmint.config import Optimiser
from genmint.models.shared import eager_optimizer

# float16 has no values below 6e-8, so the loss is scaled up to preserve its gradients (Micikevicius
# et al. 2018). torch's default initial scale loses the first dozen steps of a small model.
_FIRST_SCALE = 2.0**12


class Descent:
    """One optimiser with its schedule, limits of the gradient and, for fp16, loss scaling.

    Attributes:
        skipped: number of steps left out, because their gradients were above `skip_norm`.
        skipped_last: number of them since the last step that was not left out.
    """

    def __init__(
        self,
        settings: Optimiser,
        parameters: list[nn.Parameter],
        steps: int,
        *,
        scaled: bool = False,
    ) -> None:
        """Create it for a training run of `steps` steps; `scaled` for gradients in float16."""
        self.settings = settings
        self.parameters = parameters
        self.steps = steps
        self.optimiser = build_optimiser(settings, parameters)
        self.scaler = torch.amp.GradScaler(
            parameters[0].device.type, init_scale=_FIRST_SCALE, enabled=scaled
        )
        self._unscaled = not scaled
        self.skipped = 0
        self.skipped_last = 0

    def clear(self) -> None:
        """Clear the gradients."""
        self.optimiser.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor) -> None:
        """Accumulate the gradients of `loss`."""
        if self.scaler.is_enabled():
            loss = self.scaler.scale(loss)
        loss.backward()

    def unscale(self) -> None:
        """Remove the loss scale from the gradients; needed only if they are read before `step`."""
        if not self._unscaled:
            self.scaler.unscale_(self.optimiser)
            self._unscaled = True

    def step(self, step: int, factor: float = 1.0) -> None:
        """Update the parameters in step `step` (from 0) with the learning rate times `factor`.

        A step whose gradient is above `skip_norm`, or not finite, changes neither parameters nor
        the state of the optimiser (Child 2021).
        """
        if self._exceeds():
            self.skipped += 1
            self.skipped_last += 1
            if self.scaler.is_enabled():
                self.scaler.update()
                self._unscaled = False
            return
        self.skipped_last = 0
        if self.settings.clip_norm is not None:
            self.unscale()
            nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        rate = self.settings.lr * rate_factor(self.settings, step, self.steps) * factor
        for group in self.optimiser.param_groups:
            group["lr"] = rate
            if self.settings.beta2_schedule is not None:
                group["betas"] = self.settings.betas_at(step, self.steps)
        if self.scaler.is_enabled():
            self.scaler.step(self.optimiser)
            self.scaler.update()
            self._unscaled = False
        else:
            eager_optimizer.step(self.optimiser)

    def _exceeds(self) -> bool:
        """Whether the gradient is above `skip_norm`; reading its norm waits for the device."""
        limit = self.settings.skip_norm
        if limit is None:
            return False
        self.unscale()
        gradients = [each.grad for each in self.parameters if each.grad is not None]
        return not float(nn.utils.get_total_norm(gradients)) <= limit

    @property
    def is_limited(self) -> bool:
        """Whether a huge gradient of the last step had no huge effect: clipped, or left out."""
        return self.skipped_last > 0 or self.settings.clip_norm is not None

    def state(self) -> dict[str, Any]:
        """Return the state that the next step depends on, besides the parameters."""
        return {
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "skipped": self.skipped,
            "skipped_last": self.skipped_last,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a state returned by `state`, without modifying it."""
        # Without the copy the optimiser would keep these tensors and modify them in its next step.
        self.optimiser.load_state_dict(copy.deepcopy(state["optimiser"]))
        self.scaler.load_state_dict(state["scaler"])
        self.skipped = state["skipped"]
        self.skipped_last = state["skipped_last"]


def build_optimiser(settings: Optimiser, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimiser for `settings` over `parameters`.

    It is fused, with one kernel for all tensors, since small models are otherwise limited by kernel
    launches.
    """
    eager_optimizer.spare_compiler()
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


def rate_factor(settings: Optimiser, step: int, steps: int) -> float:
    """Return the learning rate factor in step `step` (from 0) of `steps`.

    The factor rises linearly over the first `warmup` steps (Goyal et al. 2017). Afterwards,
    `cosine` falls from 1 to 0 along half a cosine (Loshchilov and Hutter 2017, without restarts).
    """
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    if settings.schedule == "cosine":
        done = (step - settings.warmup) / max(1, steps - settings.warmup)
        return 0.5 * (1 + math.cos(math.pi * done))
    return 1.0
