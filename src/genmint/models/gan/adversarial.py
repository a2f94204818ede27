"""Adversarial losses of discriminator and generator, and gradient penalties.

Scores are the output of the discriminator's last layer. Losses with probabilities use them as
logits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from genmint.config import Penalty
from genmint.models.shared.noise import Noise


def discriminator_loss(
    real: Tensor, fake: Tensor, form: str = "non-saturating", smoothing: float = 0.0
) -> Tensor:
    """Loss of the discriminator.

    - minimax, non-saturating: −E[log σ(real)] − E[log(1 − σ(fake))], in nats (Goodfellow et al.
      2014).
    - least-squares: ½E[(real − 1)²] + ½E[fake²] (Mao et al. 2017, equation 9).
    - hinge: E[max(0, 1 − real)] + E[max(0, 1 + fake)] (Lim and Ye 2017; Miyato et al. 2018,
      equation 16).
    - wasserstein: E[fake] − E[real], whose minimum over 1-Lipschitz functions is −W₁ (Arjovsky et
      al. 2017, equation 2).
    - relativistic: −E[log σ(real − fake)], in nats, over pairs of an item and a sample
      (Jolicoeur-Martineau 2019; Huang et al. 2024, section 2).

    Args:
        real: scores of data, of any shape.
        fake: scores of samples, of the same shape for relativistic.
        form: `loss` of the model entry.
        smoothing: s, 0…½. The label of data is 1 − s, that of samples stays 0. The optimum is
            then (1 − s)·p_data / (p_data + p_model) (Salimans et al. 2016, section 3.4). Only for
            losses with labels.

    Returns:
        A scalar.
    """
    if form == "least-squares":
        return ((real - (1 - smoothing)).square().mean() + fake.square().mean()) / 2
    if form == "hinge":
        return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()
    if form == "wasserstein":
        return fake.mean() - real.mean()
    if form == "relativistic":
        return functional.softplus(fake - real).mean()
    loss = functional.softplus(-real).mean() + functional.softplus(fake).mean()
    # −(1 − s)·log σ(x) − s·log(1 − σ(x)) = softplus(−x) + s·x.
    return loss + smoothing * real.mean() if smoothing else loss


def generator_loss(fake: Tensor, form: str, real: Tensor | None = None) -> Tensor:
    """Loss of the generator, from the scores of its samples; a scalar.

    - minimax: E[log(1 − σ(fake))].
    - non-saturating: −E[log σ(fake)], whose gradient does not vanish where the discriminator is
      confident (Goodfellow et al. 2014, section 3).
    - least-squares: ½E[(fake − 1)²], which also penalises samples that the discriminator classifies
      as real, until they lie where the data lie.
    - hinge, wasserstein: −E[fake], with a constant gradient.
    - relativistic: −E[log σ(fake − real)], which needs the scores `real` of as many items.
    """
    if form == "relativistic":
        assert real is not None, "samples are compared with data"
        return functional.softplus(real - fake).mean()
    if form == "minimax":
        return -functional.softplus(fake).mean()
    if form == "least-squares":
        return (fake - 1).square().mean() / 2
    if form in ("hinge", "wasserstein"):
        return -fake.mean()
    return functional.softplus(-fake).mean()


def accuracies(real: Tensor, fake: Tensor, form: str) -> tuple[Tensor, Tensor]:
    """Shares of data and of samples that the discriminator classifies correctly, 0…1.

    The threshold is midway between the labels: ½ for least-squares, otherwise 0. The scores of
    wasserstein and relativistic have no absolute threshold. Each score is compared with the score
    at the same position of the other batch. Chance level is ½ in all cases.
    """
    if form in ("wasserstein", "relativistic"):
        return (real > fake).float().mean(), (fake < real).float().mean()
    border = 0.5 if form == "least-squares" else 0.0
    return (real > border).float().mean(), (fake < border).float().mean()


class Penalised(NamedTuple):
    """Gradient penalty of a step, and the scores that were computed on the way.

    Attributes:
        value: the penalty, a scalar.
        slope: mean of the penalised gradient norms, in scores per unit of distance; no graph.
        real: scores of data, float32; None if they were not computed.
        fake: scores of samples, likewise.
    """

    value: Tensor
    slope: Tensor
    real: Tensor | None = None
    fake: Tensor | None = None


def penalise(
    penalty: Penalty, judge: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, noise: Noise
) -> Penalised:
    """Gradient penalty of the discriminator.

    - wgan-gp: λ·E[(‖∇D(x̂)‖ − 1)²] at x̂ drawn uniformly from the lines between data and samples
      (Gulrajani et al. 2017, equation 3).
    - r1: γ/2·E[‖∇D(x)‖²] at data only. With it a generator that has reached the data distribution
      stays there (Mescheder et al. 2018, equation 9).
    - r1r2: γ/2·(E[‖∇D(x)‖²] at data + E[‖∇D(x̃)‖²] at samples), R1 and R2 of Mescheder et al. The
      relativistic loss converges locally with both (Huang et al. 2024, section 2). In a step in
      bfloat16 it is computed in bfloat16, as in the authors' code: for the networks of `r3` its
      gradient then differed by 0.2 % in length and had a cosine of 0.99998 with that in float32.

    The penalty is multiplied by `every`, since it is computed in one of `every` steps (Karras et
    al. 2020, appendix B).

    Args:
        penalty: its settings; not `none`.
        judge: the discriminator, N×C×H×W to N×1.
        real: the data as input of the discriminator, float N×C×H×W.
        fake: the samples as input of the discriminator, float N×C×H×W.
        noise: of the step.
    """
    if penalty.name == "wgan-gp":
        _, norms = scores_and_slopes(
            judge, torch.lerp(real, fake, noise.uniform(len(real), 1, 1, 1))
        )
        value = penalty.weight * penalty.every * (norms - 1).square().mean()
        return Penalised(value, norms.detach().mean())
    factor = penalty.weight / 2 * penalty.every
    lower = penalty.name == "r1r2"
    on_real, norms = scores_and_slopes(judge, real, in_bfloat16=lower)
    value = factor * norms.square().mean()
    if penalty.name == "r1":
        return Penalised(value, norms.detach().mean(), on_real)
    on_fake, at_fake = scores_and_slopes(judge, fake, in_bfloat16=lower)
    value = value + factor * at_fake.square().mean()
    return Penalised(value, torch.cat([norms, at_fake]).detach().mean(), on_real, on_fake)


def scores_and_slopes(
    judge: Callable[[Tensor], Tensor], grid: Tensor, *, in_bfloat16: bool = False
) -> tuple[Tensor, Tensor]:
    """Scores D(x), float32 N×1, and gradient norms ‖∇D(x)‖₂, float32 N, of N×C×H×W.

    Both are differentiable. Computed in float32 at any precision of the step, since squared
    gradients in 16 bits are too inaccurate for most networks. With `in_bfloat16`, a step in
    bfloat16 computes the gradients in it as well, and only the norms in float32.
    """
    kind = grid.device.type
    lower = in_bfloat16 and torch.get_autocast_dtype(kind) == torch.bfloat16
    with (
        torch.enable_grad(),
        torch.autocast(kind, enabled=lower and torch.is_autocast_enabled(kind)),
        # The fused attention kernels have no second derivative.
        sdpa_kernel(SDPBackend.MATH),
    ):
        x = grid.detach().float().requires_grad_()
        scores = judge(x).float()
        (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
        norms: Tensor = gradient.flatten(1).norm(dim=1)
    return scores, norms


def slopes(judge: Callable[[Tensor], Tensor], grid: Tensor) -> Tensor:
    """Gradient norms of `scores_and_slopes` alone."""
    return scores_and_slopes(judge, grid)[1]
