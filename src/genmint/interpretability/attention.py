"""Where a model looks: the weights of its attention, as maps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from genmint.models.family import Family, evaluating
from genmint.models.networks import SelfAttention
from genmint.models.rnn import RNN
from genmint.models.rnn.attention import PastAttention
from genmint.models.vae import VAE


def grid_maps(
    model: VAE,
    items: Tensor,
    places: Sequence[tuple[float, float]],
    *,
    labels: Tensor | None = None,
) -> Tensor | None:
    """Where the encoder of a VAE looks from some places of an item.

    Args:
        model: the VAE.
        items: uint8 N×C×H×W, N at most 64.
        places: (down, right) in 0…1 of the sides.
        labels: int64 N, for a conditional model.

    Returns:
        float32 N×places×h×w, each map summing to 1, on the grid that the attention sees; None
        where the model has no attention.
    """
    with _kept(model) as found:
        if not found:
            return None
        shapes: list[tuple[int, int]] = []
        hook = found[0].register_forward_pre_hook(
            lambda _, given: shapes.append((given[0].shape[2], given[0].shape[3]))
        )
        try:
            model.encode(items, labels=labels)
        finally:
            hook.remove()
        weights = found[0].weights
    assert weights is not None
    height, width = shapes[0]
    rows = [
        min(int(down * height), height - 1) * width + min(int(right * width), width - 1)
        for down, right in places
    ]
    chosen = weights[: len(items), rows].cpu()
    return chosen.view(len(items), len(rows), height, width)


def past_map(model: RNN, symbols: Tensor) -> Tensor | None:
    """How much an RNN looks back at each state of the past while it reads.

    Args:
        model: the RNN.
        symbols: int64 T.

    Returns:
        float32 T×T, row t over the states up to t, summing to 1; None where the model has no
        attention.
    """
    with _kept(model) as found:
        if not found:
            return None
        with evaluating(model):
            model(symbols[None].to(model.device), None)
        weights = found[0].weights
    assert weights is not None
    return weights[0].cpu()


@contextlib.contextmanager
def _kept(model: Family) -> Iterator[list[SelfAttention | PastAttention]]:
    """Let the attentions of a model's encoder, or of an RNN, keep the weights of their pass."""
    where: nn.Module = model.encoder if isinstance(model, VAE) else model
    found = [one for one in where.modules() if isinstance(one, SelfAttention | PastAttention)]
    for one in found:
        one.keep = True
    try:
        yield found
    finally:
        for one in found:
            one.keep = False
            one.weights = None


def enlarged(maps: Tensor, height: int, width: int) -> Tensor:
    """Maps …×h×w on the grid of the item, float32 …×height×width, 1 at each map's strongest."""
    flat = maps.flatten(0, -3)[:, None]
    large = torch.nn.functional.interpolate(flat, (height, width), mode="nearest")[:, 0]
    strongest = large.flatten(1).amax(1).clamp_min(1e-12)[:, None, None]
    return (large / strongest).view(*maps.shape[:-2], height, width)
