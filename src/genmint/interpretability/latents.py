"""What a latent does to a sample: traversals, the change that each causes, and ways between."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genmint.models.gan import GAN
from genmint.models.vae import VAE

# Items over which the change that a latent causes is averaged, at most.
_ITEMS = 256


@dataclass(frozen=True)
class Effect:
    """One latent of a VAE.

    Attributes:
        latent: its index.
        kl: nats that it tells of an item, mean over the items; 0 is a collapsed one.
        active: whether its posterior mean varies over the items (Burda et al. 2016).
        spread: standard deviation of its posterior means over the items.
        change: grey levels, 0…255: mean over items and pixels of half the absolute difference
            between the decoder's means at one spread above and one below an item's own place.
    """

    latent: int
    kl: float
    active: bool
    spread: float
    change: float


def effects(model: VAE, data: Tensor, *, seed: int, labels: Tensor | None = None) -> list[Effect]:
    """What each latent next to the decoder tells and changes, the most telling first.

    Args:
        model: of any device.
        data: uint8 N×C×H×W, held out; the first 256 are looked at.
        seed: of the binarisation, where pixels are.
        labels: int64 N, for a conditional model; every item keeps its own.
    """
    data, labels = data[:_ITEMS], None if labels is None else labels[:_ITEMS]
    width = model.config.latent
    signals = model.health(data, seed=seed, labels=labels)
    means = model.encode(data, labels=labels)[:, :width]
    spread = means.double().std(dim=0, correction=0)
    found = []
    for latent in range(width):
        step = torch.zeros(width)
        step[latent] = float(spread[latent])
        above, below = (
            model.decode(means + sign * step, labels=labels).float() for sign in (1, -1)
        )
        found.append(
            Effect(
                latent=latent,
                kl=signals[f"kl.{latent:03d}"],
                active=bool(spread[latent].square() > 0.01),
                spread=float(spread[latent]),
                change=float((above - below).abs().mean() / 2),
            )
        )
    return sorted(found, key=lambda effect: (-effect.kl, effect.latent))


def traversal(
    model: VAE, item: Tensor, latent: int, values: Tensor, *, label: Tensor | None = None
) -> Tensor:
    """One latent at several values, all others where an item has them.

    Args:
        model: the VAE.
        item: uint8 C×H×W.
        latent: index among those next to the decoder.
        values: float V, in standard deviations of N(0, 1).
        label: int64 scalar, the item's, for a conditional model.

    Returns:
        uint8 V×C×H×W, the decoder's means.
    """
    of_item = None if label is None else label[None]
    z = model.encode(item[None], labels=of_item)
    z = z[:, : model.config.latent].repeat(len(values), 1)
    z[:, latent] = values
    return model.decode(z, labels=None if label is None else label.expand(len(values)))


def between(
    model: VAE | GAN, starts: Tensor, ends: Tensor, steps: int, *, labels: Tensor | None = None
) -> Tensor:
    """Samples on the way from one latent to another.

    Straight for a VAE, whose posterior means lie close together; along the sphere for a GAN, since
    a long straight way leads through the middle, where N(0, I) has next to no mass (White 2016).

    Args:
        model: the VAE or GAN.
        starts: float32 N×L.
        ends: float32 N×L.
        steps: samples of a way, both ends included; 2 or more.
        labels: int64 N, for a conditional model: what all samples of a way are of.

    Returns:
        uint8 N×steps×C×H×W.
    """
    t = torch.linspace(0, 1, steps)[None, :, None]
    a, b = starts[:, None], ends[:, None]
    of = None if labels is None else labels.repeat_interleave(steps)
    if isinstance(model, VAE):
        way = (1 - t) * a + t * b
        return _rows(model.decode(way.flatten(0, 1), labels=of), steps)
    unit_a, unit_b = (v / v.norm(dim=2, keepdim=True) for v in (a, b))
    angle = (unit_a * unit_b).sum(2, keepdim=True).clamp(-1 + 1e-6, 1 - 1e-6).acos()
    way = (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin()
    return _rows(model.generate(way.flatten(0, 1), labels=of), steps)


def analogies(model: VAE | GAN, z: Tensor) -> Tensor:
    """Every latent with every label (Kingma et al. 2014, figure 1).

    What a row has in common is style, and what a column has in common is the class: they are apart
    where a conditional model has learnt both.

    Args:
        model: a conditional VAE or GAN of K classes.
        z: float32 N×L.

    Returns:
        uint8 N×K×C×H×W.
    """
    assert model.classes is not None
    classes = len(model.classes.names)
    labels = torch.arange(classes).repeat(len(z))
    each = z.repeat_interleave(classes, dim=0)
    if isinstance(model, VAE):
        return _rows(model.decode(each, labels=labels), classes)
    return _rows(model.generate(each, labels=labels), classes)


def _rows(samples: Tensor, columns: int) -> Tensor:
    return samples.view(-1, columns, *samples.shape[1:])
