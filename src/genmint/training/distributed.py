"""Training of one model by several processes, with DistributedDataParallel."""

from __future__ import annotations

import os
from typing import Any, Protocol, cast

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from genmint.models.shared.family import Family
from genmint.models.shared.noise import Noise
from genmint.training.launch import RENDEZVOUS


class Objective(Protocol):
    """`Family.loss` as called by the loop: a loss with its graph, and scalars."""

    def __call__(
        self, group: str, batch: Tensor, noise: Noise, fresh: bool, labels: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return loss and scalars of one optimizer phase."""


class Ranks:
    """The processes of one training run; a single one unless several were started.

    Attributes:
        rank: index of this process, from 0; only process 0 prints, reports and writes.
        world: number of processes.
    """

    def __init__(self, rank: int = 0, world: int = 1) -> None:
        """Set the attributes; `join` connects the processes."""
        self.rank = rank
        self.world = world

    @property
    def leads(self) -> bool:
        """Whether this process prints, reports and writes."""
        return self.rank == 0

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean over all processes, equal in each."""
        if self.world == 1:
            return value
        total = value.clone()
        torch.distributed.all_reduce(total)
        return total / self.world

    def any(self, mine: bool, device: torch.device) -> bool:
        """Return whether the value is true in any process."""
        return bool(self.mean(torch.tensor(float(mine), device=device)) > 0)

    def same(self, value: float, device: torch.device) -> float:
        """Return the value of process 0."""
        if self.world == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=device)
        torch.distributed.broadcast(shared, 0)
        return float(shared)

    def gather(self, mine: Any) -> list[Any]:
        """Return the values of all processes, in the order of rank."""
        if self.world == 1:
            return [mine]
        gathered: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(gathered, mine)
        return gathered


def join(device: torch.device) -> Ranks:
    """Connect to the other processes of one training run, if any: nccl on GPUs, gloo on CPUs.

    Processes that genmint launched find each other by a file, those of torchrun by its variables.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Ranks()
    if not torch.distributed.is_initialized():
        file = os.environ.get(RENDEZVOUS)
        torch.distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method="env://" if file is None else f"file://{file}",
            rank=int(os.environ["RANK"]),
            world_size=world,
        )
    return Ranks(torch.distributed.get_rank(), world)


def leave(ranks: Ranks) -> None:
    """Disconnect from the other processes."""
    if ranks.world > 1:
        torch.distributed.destroy_process_group()


class _LossModule(nn.Module):
    """Module whose forward is `Family.loss`, as DistributedDataParallel requires."""

    def __init__(self, model: Family) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, group: str, batch: Tensor, noise: Noise, fresh: bool, labels: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        loss = self.model.loss(group, batch, noise, fresh=fresh, labels=labels)
        return loss.value, loss.scalars


def objective(model: Family, ranks: Ranks) -> Objective:
    """Return the loss function, whose gradients are averaged over all processes."""
    module = _LossModule(model)
    if ranks.world == 1:
        return cast(Objective, module)
    # A phase of one parameter group gives the other groups no gradients.
    several = len(model.optimisers()) > 1
    joined = DistributedDataParallel(module, find_unused_parameters=several)
    # Buffers are equal without broadcasting. Set as an attribute, since the argument's name differs
    # between torch versions.
    joined.broadcast_buffers = False
    return cast(Objective, joined)


def synchronise(model: Family, ranks: Ranks) -> Family:
    """Make batch normalisation use the joint batch of all processes."""
    if ranks.world == 1:
        return model
    if model.device.type == "cuda":
        return cast(Family, nn.SyncBatchNorm.convert_sync_batchnorm(model))
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = SharedBatchNorm
    return model


class _Sum(torch.autograd.Function):
    """Differentiable sum over all processes."""

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
    """Batch normalisation over all processes on CPUs; torch supports GPUs only.

    Means and variances are those of the joint batch (Ioffe and Szegedy 2015). Gradients flow
    through the sums over all processes.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept every shape that the replaced layer accepts."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise float N×C or N×C×H×W; the shape is unchanged."""
        if not self.training:
            return super().forward(x)
        axes = [axis for axis in range(x.dim()) if axis != 1]
        # float64, because the variance is the difference of two large sums.
        wide = x.double()
        count = wide.new_tensor([x.numel() // x.shape[1]])
        sums = torch.cat([wide.sum(axes), wide.square().sum(axes), count])
        sums = cast(Tensor, _Sum.apply(sums))  # type: ignore[no-untyped-call]
        total = sums[-1]
        mean, square = (sums[:-1] / total).chunk(2)
        variance = square - mean.square()
        self._remember(mean.detach(), (variance * total / (total - 1)).detach())
        # Computed explicitly, since torch's function passes no gradient to given means.
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
