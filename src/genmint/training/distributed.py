"""Several processes on one model: torchrun starts them, DistributedDataParallel joins them."""

from __future__ import annotations

import os
from typing import Any, Protocol, cast

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from genmint.models.family import Family
from genmint.models.noise import Noise


class Objective(Protocol):
    """`Family.loss` as the loop calls it: value with a graph, and scalars."""

    def __call__(
        self, group: str, batch: Tensor, noise: Noise, fresh: bool, labels: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Value and scalars of one turn."""


class Ranks:
    """The processes of one training, this one among them; alone unless torchrun says otherwise.

    Attributes:
        rank: of this process, from 0; only 0 speaks, reports and writes.
        world: how many there are.
    """

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        """Describe; `join` is what connects them."""
        self.rank = rank
        self.world = world

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def mean(self, value: Tensor) -> Tensor:
        """Mean over all processes; the same in each."""
        if self.world == 1:
            return value
        total = value.clone()
        torch.distributed.all_reduce(total)
        return total / self.world

    def any(self, mine: bool, device: torch.device) -> bool:
        """Whether it is true in any process."""
        return bool(self.mean(torch.tensor(float(mine), device=device)) > 0)

    def same(self, value: float, device: torch.device) -> float:
        """What process 0 has."""
        if self.world == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=device)
        torch.distributed.broadcast(shared, 0)
        return float(shared)

    def gather(self, mine: Any) -> list[Any]:
        """Of every process what it has, in order."""
        if self.world == 1:
            return [mine]
        found: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(found, mine)
        return found


def join(device: torch.device) -> Ranks:
    """Meet the other processes that torchrun started, if it did: nccl on GPUs, gloo on CPUs."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Ranks()
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Ranks(torch.distributed.get_rank(), world)


def leave(ranks: Ranks) -> None:
    """Part from the other processes."""
    if ranks.world > 1:
        torch.distributed.destroy_process_group()


class _Turns(nn.Module):
    """A module whose forward is `Family.loss`, since that is what DistributedDataParallel wraps."""

    def __init__(self, model: Family) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, group: str, batch: Tensor, noise: Noise, fresh: bool, labels: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        loss = self.model.loss(group, batch, noise, fresh=fresh, labels=labels)
        return loss.value, loss.scalars


def objective(model: Family, ranks: Ranks) -> Objective:
    """What the loop descends: the family's loss, its gradients averaged over all processes."""
    turns = _Turns(model)
    if ranks.world == 1:
        return cast(Objective, turns)
    # A turn of one group leaves the others without a gradient.
    several = len(model.optimisers()) > 1
    joined = DistributedDataParallel(turns, find_unused_parameters=several)
    # They are equal without it. Set here, since versions of torch differ in the argument's name.
    joined.broadcast_buffers = False
    return cast(Objective, joined)


def synchronise(model: Family, ranks: Ranks) -> Family:
    """Let batch normalisation see the batches of all processes as the one that they are."""
    if ranks.world == 1:
        return model
    if model.device.type == "cuda":
        return cast(Family, nn.SyncBatchNorm.convert_sync_batchnorm(model))
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = SharedBatchNorm
    return model


class _Sum(torch.autograd.Function):
    """Sum over all processes; what each makes of it flows back to all."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor) -> Tensor:
        total = mine.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        torch.distributed.all_reduce(total)
        return total


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation over the batches of all processes, on CPUs; torch has it for GPUs only.

    Its means and variances are those of the joint batch (Ioffe and Szegedy 2015); gradients flow
    through the sums of all processes.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Take what the layer in whose place this stands has taken."""

    def forward(self, x: Tensor) -> Tensor:
        """Float N×C or N×C×H×W to the same."""
        if not self.training:
            return super().forward(x)
        axes = [axis for axis in range(x.dim()) if axis != 1]
        # In double: the difference of two large sums is what the variance is.
        wide = x.double()
        count = wide.new_tensor([x.numel() // x.shape[1]])
        sums = torch.cat([wide.sum(axes), wide.square().sum(axes), count])
        sums = cast(Tensor, _Sum.apply(sums))  # type: ignore[no-untyped-call]
        total = sums[-1]
        mean, square = (sums[:-1] / total).chunk(2)
        variance = square - mean.square()
        self._remember(mean.detach(), (variance * total / (total - 1)).detach())
        # By hand, since torch's own lets no gradient pass to a mean that it is given.
        shape = (-1, *[1] * (x.dim() - 2))
        scale = (variance + self.eps).rsqrt() * self.weight
        shift = self.bias - mean * scale
        return (wide * scale.view(shape) + shift.view(shape)).to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean.float(), self.momentum)
        self.running_var.lerp_(variance.float(), self.momentum)
        self.num_batches_tracked.add_(1)
