import math

import pytest
import torch
from torch import nn

from genmint.config.models import Penalty
from genmint.models.gan.adversarial import (
    accuracies,
    discriminator_loss,
    generator_loss,
    penalise,
    slopes,
)
from genmint.models.gan.r3 import r3_discriminator
from genmint.models.shared.networks import SelfAttention
from genmint.models.shared.noise import Noise

FORMS = ["minimax", "non-saturating", "least-squares", "hinge", "wasserstein", "relativistic"]


def noise(seed=0):
    return Noise(torch.Generator().manual_seed(seed))


def test_losses_equal_the_formulas():
    real, fake = torch.randn(50, 1).double(), torch.randn(50, 1).double()
    d_real, d_fake = real.sigmoid(), fake.sigmoid()
    value = d_real.log().mean() + (1 - d_fake).log().mean()
    torch.testing.assert_close(discriminator_loss(real, fake), -value)
    torch.testing.assert_close(generator_loss(fake, "minimax"), (1 - d_fake).log().mean())
    torch.testing.assert_close(generator_loss(fake, "non-saturating"), -d_fake.log().mean())


def test_losses_stay_finite_where_the_sigmoid_does_not():
    sure = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    for loss in (
        discriminator_loss(sure, sure),
        generator_loss(sure, "minimax"),
        generator_loss(sure, "non-saturating"),
    ):
        assert torch.isfinite(loss)
    generator_loss(sure, "non-saturating").backward()
    assert torch.isfinite(sure.grad).all()


def test_minimax_vanishes_where_the_discriminator_is_sure_and_the_other_does_not():
    slopes = {}
    for form in ("minimax", "non-saturating"):
        logit = torch.tensor([-20.0], requires_grad=True)
        generator_loss(logit, form).backward()
        slopes[form] = abs(float(logit.grad))
    assert slopes["minimax"] < 1e-6
    assert slopes["non-saturating"] > 0.99


def test_the_other_losses_equal_their_formulas():
    real, fake = torch.randn(50, 1).double(), torch.randn(50, 1).double()
    zero = torch.zeros(()).double()
    wanted = {
        "least-squares": (0.5 * ((real - 1) ** 2).mean() + 0.5 * (fake**2).mean(),
                          0.5 * ((fake - 1) ** 2).mean()),
        "hinge": (-torch.minimum(zero, real - 1).mean() - torch.minimum(zero, -fake - 1).mean(),
                  -fake.mean()),
        "wasserstein": (-real.mean() + fake.mean(), -fake.mean()),
    }  # fmt: skip
    for form, (discriminator, generator) in wanted.items():
        torch.testing.assert_close(discriminator_loss(real, fake, form), discriminator)
        torch.testing.assert_close(generator_loss(fake, form), generator)


def test_relativistic_losses_are_of_pairs():
    """By hand: two pairs, of which the discriminator tells one by 2 and confuses the other by 1."""
    real, fake = torch.tensor([[3.0], [-1.0]]), torch.tensor([[1.0], [0.0]])
    by_2, by_1 = math.log1p(math.exp(-2)), math.log1p(math.exp(1))
    found = discriminator_loss(real, fake, "relativistic")
    assert float(found) == pytest.approx((by_2 + by_1) / 2)
    by_2, by_1 = math.log1p(math.exp(2)), math.log1p(math.exp(-1))
    assert float(generator_loss(fake, "relativistic", real)) == pytest.approx((by_2 + by_1) / 2)
    # Only differences of scores count.
    torch.testing.assert_close(discriminator_loss(real + 7, fake + 7, "relativistic"), found)
    assert [float(part) for part in accuracies(real, fake, "relativistic")] == [0.5, 0.5]


def test_wasserstein_of_the_best_critic_is_the_distance():
    """Arjovsky et al. 2017: of two points at distance d the best 1-Lipschitz critic has slope 1."""
    d = 3.7
    real, fake = torch.full((8, 1), d), torch.zeros(8, 1)
    found = min(float(discriminator_loss(s * real, s * fake, "wasserstein")) for s in (-1, 0.5, 1))
    assert found == pytest.approx(-d)


@pytest.mark.parametrize("smoothing", [0.1, 0.3])
def test_label_smoothing_moves_the_optimum_as_its_formula_says(smoothing):
    """Where density is equal, D = (1 − s)/2, and where there are only data D = 1 − s."""
    for samples, wanted in ((1.0, (1 - smoothing) / 2), (0.0, 1 - smoothing)):
        score = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        descent = torch.optim.LBFGS([score], line_search_fn="strong_wolfe", max_iter=50)

        def loss(score=score, samples=samples, descent=descent):
            descent.zero_grad()
            on_real = discriminator_loss(score, score.new_tensor([-500.0]), smoothing=smoothing)
            on_fake = discriminator_loss(score.new_tensor([500.0]), score)
            value = on_real + samples * on_fake
            value.backward()
            return value

        descent.step(loss)
        assert float(score.detach().sigmoid()) == pytest.approx(wanted, abs=1e-4)


def test_smoothed_least_squares_have_their_minimum_at_the_smoothed_label():
    real = torch.tensor([0.8])
    assert float(discriminator_loss(real, real * 0, "least-squares", 0.2)) == pytest.approx(0)


@pytest.mark.parametrize("form", FORMS)
def test_accuracy_is_half_by_chance_and_one_for_the_loss_s_own_optimum(form):
    torch.manual_seed(0)
    labels = {"least-squares": (1.0, 0.0), "wasserstein": (107.0, 100.0)}.get(form, (1.0, -1.0))
    real, fake = (torch.full((64, 1), label) for label in labels)
    assert [float(part) for part in accuracies(real, fake, form)] == [1, 1]
    assert [float(part) for part in accuracies(fake, real, form)] == [0, 0]
    middle = sum(labels) / 2
    real, fake = (middle + torch.randn(4000, 1) for _ in range(2))
    for part in accuracies(real, fake, form):
        assert float(part) == pytest.approx(0.5, abs=0.03)


def linear(*slope):
    judge = nn.Sequential(nn.Flatten(), nn.Linear(len(slope), 1))
    with torch.no_grad():
        judge[1].weight.copy_(torch.tensor([slope]))
    return judge


@pytest.mark.parametrize(
    ("penalty", "wanted"),
    [
        (Penalty(name="wgan-gp"), 10 * (5 - 1) ** 2),
        (Penalty(name="wgan-gp", weight=2.0, every=3), 3 * 2 * (5 - 1) ** 2),
        (Penalty(name="r1"), 10 / 2 * 5**2),
        (Penalty(name="r1", weight=1.0, every=16), 16 / 2 * 5**2),
        (Penalty(name="r1r2"), 10 / 2 * (5**2 + 5**2)),
        (Penalty(name="r1r2", weight=1.0, every=3), 3 / 2 * (5**2 + 5**2)),
    ],
)
def test_penalties_on_a_plane_are_those_of_its_slope(penalty, wanted):
    judge = linear(3.0, 4.0)
    real, fake = torch.randn(6, 1, 1, 2), torch.randn(6, 1, 1, 2)
    value, slope, *_ = penalise(penalty, judge, real, fake, noise())
    assert float(value.detach()) == pytest.approx(wanted, rel=1e-5)
    assert float(slope) == pytest.approx(5)
    value.backward()
    # d/dw of ‖w‖² / 2 is w; of (‖w‖ − 1)² it is 2 (‖w‖ − 1) w / ‖w‖.
    of_r1 = torch.tensor([[3.0, 4.0]]) * penalty.weight
    of_gp = torch.tensor([[3.0, 4.0]]) * penalty.weight * 2 * 4 / 5
    wanted = {"r1": of_r1, "r1r2": 2 * of_r1, "wgan-gp": of_gp}[penalty.name]
    expected = penalty.every * wanted
    torch.testing.assert_close(judge[1].weight.grad, expected)


def test_wgan_gp_looks_between_data_and_samples_and_r1_at_data():
    seen = []

    def judge(x):
        seen.append(x.detach())
        return x.square().sum((1, 2, 3))

    real, fake = torch.zeros(500, 1, 1, 2), torch.tensor([1.0, 2.0]).expand(500, 1, 1, 2)
    _, slope, *_ = penalise(Penalty(name="wgan-gp"), judge, real, fake, noise())
    share = seen[0][:, 0, 0, 0]
    torch.testing.assert_close(seen[0][:, 0, 0, 1], 2 * share)
    assert 0 <= float(share.min()) < 0.02 < 0.98 < float(share.max()) <= 1
    assert float(slope) == pytest.approx(5**0.5, rel=0.1)
    _, slope, *_ = penalise(Penalty(name="r1"), judge, real, fake, noise())
    torch.testing.assert_close(seen[1], real)
    assert float(slope) == 0


def test_r1r2_looks_at_data_and_at_samples():
    """D = ‖x‖² / 2 has the gradient x: R1 is ‖x‖² at the data, R2 the same at the samples."""
    real, fake = torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0])
    real, fake = (point.expand(6, 1, 1, 2) for point in (real, fake))
    value, slope, *_ = penalise(
        Penalty(name="r1r2", weight=0.1),
        lambda x: x.square().sum((1, 2, 3)) / 2,
        real,
        fake,
        noise(),
    )
    assert float(value.detach()) == pytest.approx(0.1 / 2 * (25 + 5))
    assert float(slope) == pytest.approx((5 + 5**0.5) / 2)


def test_a_flat_discriminator_has_a_finite_penalty():
    judge = linear(0.0, 0.0)
    value, *_ = penalise(
        Penalty(name="wgan-gp"), judge, torch.ones(4, 1, 1, 2), torch.zeros(4, 1, 1, 2), noise()
    )
    value.backward()
    assert torch.isfinite(judge[1].weight.grad).all()


def test_slopes_are_in_float32_under_autocast_and_through_attention():
    torch.manual_seed(0)
    judge = nn.Sequential(SelfAttention(8), nn.Flatten(), nn.Linear(8 * 9, 1))
    with torch.no_grad():
        judge[0].gamma.fill_(0.5)
    grid = torch.randn(4, 8, 3, 3)
    plain = slopes(judge, grid)
    with torch.autocast("cpu", torch.bfloat16):
        found = slopes(judge, grid)
    assert found.dtype == torch.float32
    assert torch.equal(found, plain)
    found.sum().backward()
    assert judge[0].query.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("name", "step", "computed"),
    [
        ("r1r2", torch.bfloat16, torch.bfloat16),
        ("r1r2", torch.float16, torch.float32),
        ("r1r2", None, torch.float32),
        ("r1", torch.bfloat16, torch.float32),
        ("wgan-gp", torch.bfloat16, torch.float32),
    ],
)
def test_r1r2_alone_has_the_precision_of_a_step_in_bfloat16(name, step, computed):
    torch.manual_seed(0)
    judge = r3_discriminator((1, 8, 8), (8, 8), blocks=1, group_width=4)
    for parameter in judge.parameters():
        nn.init.normal_(parameter, std=0.3)
    seen = []
    judge[1].body[0].register_forward_hook(lambda *given: seen.append(given[2].dtype))
    real, fake = torch.randn(16, 1, 8, 8), torch.randn(16, 1, 8, 8)
    exact = penalise(Penalty(name=name), judge, real, fake, noise()).value
    seen.clear()
    with torch.autocast("cpu", step, enabled=step is not None):
        value, slope, *scores = penalise(Penalty(name=name), judge, real, fake, noise())
    assert {*seen} == {computed}
    assert {part.dtype for part in (value, slope, *scores) if part is not None} == {torch.float32}
    assert float(value.detach()) == pytest.approx(float(exact.detach()), rel=0.02)
