"""On really trained VAEs: chance is not promoted, and a better training is.

The long form, with twenty trainings of the shipped model, is benchmarks/decisions.py.
"""

import itertools
import statistics

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from genmint.config import ChampionRule, parse_model
from genmint.data.views.spec import DataSpec
from genmint.decision.comparison import Scores, Spread, compare
from genmint.models.shared import store
from genmint.training.loop import fit

RULE = ChampionRule(superior=("elbo",), confidence=0.95)
STEPS = 150
SPEC = DataSpec(dataset="digits", kind="image", view="grid", shape=(1, 8, 8))


def trained(seed, steps=STEPS):
    config = parse_model({
        "family": "vae", "dataset": "digits", "hidden": [64], "latent": 3, "steps": steps,
        "validate_every": steps, "seed": seed, "optimiser": {"lr": 2e-3, "schedule": "cosine"},
    })  # fmt: skip
    images = torch.from_numpy((load_digits().images * 15.9375).astype(np.uint8))[:, None]
    model = store.build(config, SPEC)
    fit("vae", model, config, images[:1200], images[1200:1300])
    return model, images[1300:]


def measured(model, images, seed=1, rows=slice(None)):
    items = model.elbo(images, seed=seed)["elbo"].numpy()[rows]
    return Scores({"elbo": float(items.mean())}, {}, {"elbo": items.tolist()})


def promoted(new, old, spread):
    return compare(RULE, lambda _: "higher", new, old, spread, "b").better


@pytest.fixture(scope="module")
def family():
    """Ten trainings that differ by seed alone."""
    return [trained(seed) for seed in range(10)]


@pytest.fixture(scope="module")
def spread(family):
    """Of the first five."""
    values = tuple(measured(*one).metrics["elbo"] for one in family[:5])
    deviation = statistics.stdev(values)
    return Spread(
        model="vae",
        block="b",
        seeds=tuple(range(5)),
        protocol={},
        values={"elbo": values},
        standard_deviation={"elbo": deviation},
    )


def test_the_same_weights_measured_again_are_promoted_no_more_often_than_chance_allows(family):
    """With a margin of nothing, so that the interval alone must hold what it promises."""
    none = Spread(
        model="vae",
        block="b",
        seeds=tuple(range(5)),
        protocol={},
        values={"elbo": (0.0,) * 5},
        standard_deviation={"elbo": 0.0},
    )
    model, images = family[0]
    rng = np.random.default_rng(0)
    pool = [measured(model, images, seed).items["elbo"] for seed in range(30)]
    found = []
    for _ in range(100):
        rows = rng.permutation(len(images))[:400]
        one, other = rng.permutation(len(pool))[:2]
        pair = [np.asarray(pool[number])[rows] for number in (one, other)]
        new, old = (Scores({"elbo": v.mean()}, {}, {"elbo": v.tolist()}) for v in pair)
        found.append(promoted(new, old, none))
    # α and three binomial standard errors of 100.
    assert np.mean(found) <= 0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5


def test_another_seed_is_hardly_ever_promoted(family, spread):
    scores = [measured(*one) for one in family[5:]]
    found = [promoted(new, old, spread) for new, old in itertools.permutations(scores, 2)]
    assert np.mean(found) <= 0.1


def test_four_times_the_steps_are_promoted(family, spread):
    new, images = trained(20, 4 * STEPS)
    rng = np.random.default_rng(1)
    found = []
    for number in range(40):
        rows = rng.permutation(len(images))[:400]
        pair = (measured(model, images, number, rows) for model in (new, family[5][0]))
        found.append(promoted(*pair, spread))
    assert np.mean(found) >= 0.95
