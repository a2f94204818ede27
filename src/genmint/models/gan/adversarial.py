"""What a discriminator and a generator descend: adversarial losses, and penalties on a slope.

Scores are what the discriminator's last layer gives: logits for the losses with probabilities.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from genmint.config import Penalty
from genmint.models.noise import Noise


def discriminator_loss(
    real: Tensor, fake: Tensor, form: str = "non-saturating", smoothing: float = 0.0
) -> Tensor:
    """What the discriminator descends.

    minimax, non-saturating: −E[log σ(real)] − E[log(1 − σ(fake))], in nats (Goodfellow et al.
    2014). least-squares: ½E[(real − 1)²] + ½E[fake²] (Mao et al. 2017, equation 9). hinge:
    E[max(0, 1 − real)] + E[max(0, 1 + fake)] (Lim and Ye 2017; Miyato et al. 2018, equation 16).
    wasserstein: E[fake] − E[real], whose minimum over slopes of at most 1 is −W₁ (Arjovsky et al.
    2017, equation 2).

    Args:
        real: scores of data, of any shape.
        fake: scores of samples.
        form: `loss` of the block.
        smoothing: s, 0…½: the label of data is 1 − s, that of samples stays 0, so that the
            optimum is (1 − s)·p_data / (p_data + p_model) (Salimans et al. 2016, section 3.4);
            for losses with labels.

    Returns:
        A scalar.
    """
    if form == "least-squares":
        return ((real - (1 - smoothing)).square().mean() + fake.square().mean()) / 2
    if form == "hinge":
        return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()
    if form == "wasserstein":
        return fake.mean() - real.mean()
    loss = functional.softplus(-real).mean() + functional.softplus(fake).mean()
    # −(1 − s)·log σ(x) − s·log(1 − σ(x)) = softplus(−x) + s·x.
    return loss + smoothing * real.mean() if smoothing else loss


def generator_loss(fake: Tensor, form: str) -> Tensor:
    """What the generator descends, from the scores of its samples; a scalar.

    minimax: E[log(1 − σ(fake))]; non-saturating: −E[log σ(fake)], whose gradient does not vanish
    where the discriminator is sure (Goodfellow et al. 2014, section 3). least-squares:
    ½E[(fake − 1)²], which pulls also those that the discriminator takes for real, until they lie
    where data lie. hinge, wasserstein: −E[fake], as steep wherever the samples are.
    """
    if form == "minimax":
        return -functional.softplus(fake).mean()
    if form == "least-squares":
        return (fake - 1).square().mean() / 2
    if form in ("hinge", "wasserstein"):
        return -fake.mean()
    return functional.softplus(-fake).mean()


def accuracies(real: Tensor, fake: Tensor, form: str) -> tuple[Tensor, Tensor]:
    """Shares of data and of samples, 0…1, that the discriminator takes for what they are.

    The border lies midway between the labels: at 0, for least-squares at ½. A critic's scores
    (wasserstein) have no zero: each is compared with the score beside it in the other batch. In
    every case ½ is chance.
    """
    if form == "wasserstein":
        return (real > fake).float().mean(), (fake < real).float().mean()
    border = 0.5 if form == "least-squares" else 0.0
    return (real > border).float().mean(), (fake < border).float().mean()


def penalise(
    penalty: Penalty, judge: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, noise: Noise
) -> tuple[Tensor, Tensor]:
    """What the discriminator pays for its slope, and the mean slope that it is for.

    wgan-gp: λ·E[(‖∇D(x̂)‖ − 1)²] at x̂ drawn evenly from the lines between data and samples
    (Gulrajani et al. 2017, equation 3). r1: γ/2·E[‖∇D(x)‖²] at data alone, after which a
    generator that has reached the data stays there (Mescheder et al. 2018, equation 9). Both times
    `every`, since it is computed in one step of so many (Karras et al. 2020, appendix B).

    Args:
        penalty: its block; not `none`.
        judge: the discriminator, N×C×H×W to N×1.
        real: what it is shown of the data, float N×C×H×W.
        fake: what it is shown of the samples, likewise.
        noise: of the step.

    Returns:
        Two scalars; the second, ‖∇D‖ in scores per unit of distance, without a graph.
    """
    if penalty.name == "wgan-gp":
        found = slopes(judge, torch.lerp(real, fake, noise.uniform(len(real), 1, 1, 1)))
        value = penalty.weight * (found - 1).square().mean()
    else:
        found = slopes(judge, real)
        value = penalty.weight / 2 * found.square().mean()
    return value * penalty.every, found.detach().mean()


def slopes(judge: Callable[[Tensor], Tensor], grid: Tensor) -> Tensor:
    """‖∇D(x)‖₂ at each item of N×C×H×W; float32 N, to be differentiated once more.

    In float32 whatever the precision of the step: squares of slopes in 16 bits are noise.
    """
    with (
        torch.enable_grad(),
        torch.autocast(grid.device.type, enabled=False),
        # The fused kernels of attention have no second derivative.
        sdpa_kernel(SDPBackend.MATH),
    ):
        x = grid.detach().float().requires_grad_()
        (gradient,) = torch.autograd.grad(judge(x).sum(), x, create_graph=True)
        norms: Tensor = gradient.flatten(1).norm(dim=1)
    return norms
