"""Effect of latents on samples: traversals, effect sizes, interpolation and analogies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genmint.models.shared.abilities import Decoder, Encoder
from genmint.models.shared.blocks import prior

# Maximum number of items for averaging the effect of a latent.
_ITEMS = 256


@dataclass(frozen=True)
class Effect:
    """One latent of an encoder.

    Attributes:
        latent: index of the latent.
        kl: KL divergence in nats, mean over the items; 0 if the latent has collapsed.
        active: whether its posterior mean varies over the items (Burda et al. 2016).
        spread: standard deviation of its posterior means over the items.
        change: effect on the output in grey levels, 0…255: mean over items and pixels of half the
            absolute difference between the decoder's means at one `spread` above and below the
            item's posterior mean.
    """

    latent: int
    kl: float
    active: bool
    spread: float
    change: float


def effects(
    model: Encoder, data: Tensor, *, seed: int, most: int, labels: Tensor | None = None
) -> list[Effect]:
    """What each latent next to the decoder tells and changes, the most telling first.

    Args:
        model: model on any device.
        data: uint8 N×C×H×W, held out; the first 256 items are used.
        seed: seed of the binarisation, if pixels are binarised.
        most: maximum number of latents; those with the highest KL are chosen.
        labels: int64 N, for a conditional model; every item keeps its own.
    """
    data, labels = data[:_ITEMS], None if labels is None else labels[:_ITEMS]
    width = model.latent
    kls = model.latent_kl(data, seed=seed, labels=labels)
    means = model.encode(data, labels=labels)[:, :width]
    spread = means.double().std(dim=0, correction=0)
    differences = []
    for latent in kls.argsort(descending=True, stable=True)[:most].tolist():
        step = torch.zeros(width)
        step[latent] = float(spread[latent])
        above, below = (
            model.decode(means + sign * step, labels=labels).float() for sign in (1, -1)
        )
        differences.append(
            Effect(
                latent=latent,
                kl=float(kls[latent]),
                active=bool(spread[latent].square() > 0.01),
                spread=float(spread[latent]),
                change=float((above - below).abs().mean() / 2),
            )
        )
    return differences


def kept_levels(
    model: Encoder, items: Tensor, *, seed: int, labels: Tensor | None = None
) -> Tensor:
    """Keep the coarsest levels of items and draw the others from the prior (Child 2021).

    What all draws of a row have in common is what the kept levels hold.

    Args:
        model: model on any device, with several `levels`.
        items: uint8 N×C×H×W.
        seed: of the draws, which are the same in all rows.
        labels: int64 N, for a conditional model; every item keeps its own.

    Returns:
        uint8 (levels + 1)×N×C×H×W: nothing kept, the first level kept, …, all kept.
    """
    z = model.encode(items, labels=labels)[:, : model.latent]
    drawn = prior(len(items), model.latent, seed)
    rows = []
    for end in (0, *model.levels):
        mixed = torch.cat([z[:, :end], drawn[:, end:]], dim=1)
        rows.append(model.decode(mixed, labels=labels))
    return torch.stack(rows)


def principal_plane(z: Tensor) -> tuple[Tensor, float]:
    """Project latents on the two directions in which they vary most.

    Args:
        z: float32 N×L, at least two rows.

    Returns:
        float64 N×2, and the share of the variance that the plane holds; a second coordinate of 0 if
        there is one latent only.
    """
    centred = z.double() - z.double().mean(dim=0)
    if centred.shape[1] > len(centred):
        # An orthogonal map of the rows, which keeps the plane and needs no decomposition as wide
        # as the latents of a hierarchical VAE.
        squares, vectors = torch.linalg.eigh(centred @ centred.T)
        centred = vectors.flip(1) * squares.flip(0).clamp_min(0).sqrt()
    _, scale, directions = torch.linalg.svd(centred, full_matrices=False)
    plane = centred @ directions[:2].T
    if plane.shape[1] < 2:
        plane = torch.cat([plane, torch.zeros(len(plane), 1, dtype=plane.dtype)], dim=1)
    total = float(scale.square().sum())
    return plane, float(scale[:2].square().sum()) / total if total else 1.0


def traversal(
    model: Encoder, item: Tensor, latent: int, values: Tensor, *, label: Tensor | None = None
) -> Tensor:
    """Vary one latent over given values, with all others at an item's posterior mean.

    Args:
        model: of any device.
        item: uint8 C×H×W.
        latent: index among those next to the decoder.
        values: float V, in standard deviations of N(0, 1).
        label: int64 scalar, the item's label, for a conditional model.

    Returns:
        uint8 V×C×H×W, the decoder's means.
    """
    of_item = None if label is None else label[None]
    z = model.encode(item[None], labels=of_item)
    z = z[:, : model.latent].repeat(len(values), 1)
    z[:, latent] = values
    return model.decode(z, labels=None if label is None else label.expand(len(values)))


def interpolate(
    model: Decoder, starts: Tensor, ends: Tensor, steps: int, *, labels: Tensor | None = None
) -> Tensor:
    """Interpolate between pairs of latents.

    Straight, or along the sphere if the model says so (`Decoder.on_a_sphere`).

    Args:
        model: of any device.
        starts: float32 N×L.
        ends: float32 N×L.
        steps: samples per interpolation, including both ends; 2 or more.
        labels: int64 N, for a conditional model: class of each interpolation.

    Returns:
        uint8 N×steps×C×H×W.
    """
    t = torch.linspace(0, 1, steps)[None, :, None]
    a, b = starts[:, None], ends[:, None]
    of = None if labels is None else labels.repeat_interleave(steps)
    if not model.on_a_sphere:
        way = (1 - t) * a + t * b
        return _rows(model.decode(way.flatten(0, 1), labels=of), steps)
    unit_a, unit_b = (v / v.norm(dim=2, keepdim=True) for v in (a, b))
    angle = (unit_a * unit_b).sum(2, keepdim=True).clamp(-1 + 1e-6, 1 - 1e-6).acos()
    way = (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin()
    return _rows(model.decode(way.flatten(0, 1), labels=of), steps)


def analogies(model: Decoder, z: Tensor) -> Tensor:
    """Every latent with every label (Kingma et al. 2014, figure 1).

    Rows share a style and columns a class, if a conditional model has learnt to separate the two.

    Args:
        model: a conditional one of K classes.
        z: float32 N×L.

    Returns:
        uint8 N×K×C×H×W.
    """
    assert model.classes is not None
    classes = len(model.classes.names)
    labels = torch.arange(classes).repeat(len(z))
    each = z.repeat_interleave(classes, dim=0)
    return _rows(model.decode(each, labels=labels), classes)


def _rows(samples: Tensor, columns: int) -> Tensor:
    return samples.view(-1, columns, *samples.shape[1:])
