"""Attention weights of a model as maps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from genmint.models.shared.abilities import Encoder, Reader
from genmint.models.shared.networks import Attention


def grid_maps(
    model: Encoder,
    items: Tensor,
    places: Sequence[tuple[float, float]],
    *,
    labels: Tensor | None = None,
) -> Tensor | None:
    """Where an encoder looks from some places of an item.

    Args:
        model: of any device.
        items: uint8 N×C×H×W, N at most 64.
        places: query positions (down, right) as fractions 0…1 of the sides.
        labels: int64 N, for a conditional model.

    Returns:
        float32 N×places×h×w at the resolution of the attention layer; each map sums to 1. None if
        the model has no attention.
    """
    with _kept(model.encoder) as kept:
        if not kept:
            return None
        shapes: list[tuple[int, int]] = []
        hook = kept[0].register_forward_pre_hook(
            lambda _, given: shapes.append((given[0].shape[2], given[0].shape[3]))
        )
        try:
            model.encode(items, labels=labels)
        finally:
            hook.remove()
        weights = kept[0].weights
    assert weights is not None
    height, width = shapes[0]
    rows = [
        min(int(down * height), height - 1) * width + min(int(right * width), width - 1)
        for down, right in places
    ]
    chosen = weights[: len(items), rows].cpu()
    return chosen.view(len(items), len(rows), height, width)


def past_map(model: Reader, symbols: Tensor) -> Tensor | None:
    """How much a model looks back at each state of the past while it reads.

    Args:
        model: of text.
        symbols: int64 T.

    Returns:
        float32 T×T; row t covers the states up to t and sums to 1. None if the model has no
        attention.
    """
    with _kept(model) as kept:
        if not kept:
            return None
        model.read(symbols)
        weights = kept[0].weights
    assert weights is not None
    return weights[0].cpu()


@contextlib.contextmanager
def _kept(where: nn.Module) -> Iterator[list[Attention]]:
    """Let the attentions of a network keep the weights of their pass."""
    layers = [one for one in where.modules() if isinstance(one, Attention)]
    for one in layers:
        one.keep = True
    try:
        yield layers
    finally:
        for one in layers:
            one.keep = False
            one.weights = None


def enlarged(maps: Tensor, height: int, width: int) -> Tensor:
    """Resize maps …×h×w to float32 …×height×width, scaled so that the maximum of each is 1."""
    flat = maps.flatten(0, -3)[:, None]
    large = torch.nn.functional.interpolate(flat, (height, width), mode="nearest")[:, 0]
    strongest = large.flatten(1).amax(1).clamp_min(1e-12)[:, None, None]
    return (large / strongest).view(*maps.shape[:-2], height, width)
