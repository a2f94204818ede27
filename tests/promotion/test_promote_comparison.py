"""Whether a challenger replaces the champion, and what its version says of it."""

import json

import numpy as np
import pytest
from tests.promotion.promoted import aliases, client, empty, one, versions

from genmint.promotion.promote import promote


def test_a_mean_that_rests_on_few_items_is_not_better(workshop):
    """A higher mean that one item makes is noise; the interval over the items sees it."""
    workshop.spread(deviation=0.001)
    workshop.make()
    one(workshop)
    before = np.load(workshop.root / "samples/tiny/items.npy")["elbo"]
    after = before - 0.1
    after[0] += 30.0
    workshop.make(seed=1, elbo=float(after.mean()), gate=False)
    workshop.rewrite_items(after)
    assert after.mean() > before.mean() + 0.1
    workshop.gate()
    assert one(workshop).verdict == "not better"


def test_a_better_one_needs_to_be_better_by_more_than_a_change_of_seed(workshop):
    workshop.make()
    one(workshop)
    # The margin of a standard deviation of 0.5 is 1.5 nats.
    workshop.make(seed=1, elbo=-19.0)
    outcome = one(workshop)
    assert outcome.verdict == "not better"
    assert "elbo: better by 1 (95 % limits 1 … 1), needs +1.5" in outcome.reason
    workshop.spread(deviation=0.1)
    assert one(workshop).verdict == "promoted"


BROKEN_SPREADS = [
    (lambda w: w.project.spread("tiny").unlink(), "the spread between seeds is not known"),
    (lambda w: w.project.spread("tiny").write_text("{"), "tiny.json is invalid"),
    (lambda w: w.spread(seeds=[1, 2]), "tiny.json is invalid"),
    (lambda w: w.spread(standard_deviation={"elbo": 0.0}), "is not that of its values"),
    (lambda w: w.spread(model="other"), "results/seed_spread/tiny.json belongs to other"),
    (lambda w: w.spread(block="0" * 64), "was measured with other settings of the model"),
    (lambda w: w.spread(protocol={"samples": 4}), "another protocol (observation, samples)"),
]


def test_without_a_valid_spread_nothing_replaces_a_champion(workshop):
    workshop.make()
    assert one(workshop).verdict == "promoted"
    workshop.make(seed=1, elbo=-1.0)
    for break_it, reason in BROKEN_SPREADS:
        break_it(workshop)
        refused_for_its_spread(workshop, reason)
    workshop.spread()
    assert one(workshop).verdict == "promoted"


def test_a_spread_of_other_settings_replaces_no_champion(workshop):
    workshop.edit("steps: 10}\n  other", "steps: 11}\n  other")
    workshop.make()
    assert one(workshop).verdict == "promoted"
    workshop.make(seed=1, elbo=-1.0)
    refused_for_its_spread(workshop, "with other settings")


def refused_for_its_spread(workshop, reason):
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not better", 0), outcome
    assert reason in outcome.reason
    assert "run `genmint spread tiny`" in outcome.reason
    assert aliases(workshop) == {"champion": "1", "challenger": "2"}


def test_a_version_says_how_it_compared(workshop):
    workshop.make()
    one(workshop)
    workshop.make(seed=1, elbo=-15.0)
    one(workshop)
    _, second = sorted(versions(workshop), key=lambda version: int(version.version))
    assert "**Against champion version 1: better** (one-sided limits at 95%)" in second.description
    assert "| test | `elbo` | superior | -15 | -20 | 5 | 5 … 5 | 1.50" in second.description
    found = json.loads(second.tags["genmint.comparison"])
    assert found["test"]["contrasts"][0]["passed"] is True
    assert found["test"]["contrasts"][0]["bound"] == pytest.approx(1.507, abs=1e-3)
    assert found["confirmation"] is None
    assert "not confirmed on a second split, since there is none" in second.description
    # Its gate changes and it is described anew: what it was compared with stays.
    workshop.edit("min: -30.0", "min: -31.0")
    workshop.gate()
    assert one(workshop).verdict == "is champion"
    second = client(workshop).get_model_version("tiny", "2")
    assert "| -31 |" in second.description
    assert "**Against champion version 1: better**" in second.description


def test_comparing_again_writes_nothing_new(workshop):
    workshop.make()
    one(workshop)
    workshop.make(seed=1, elbo=-25.0)
    assert one(workshop).verdict == "not better"
    before = [(v.version, v.tags, v.last_updated_timestamp) for v in versions(workshop)]
    assert one(workshop).verdict == "not better"
    assert [(v.version, v.tags, v.last_updated_timestamp) for v in versions(workshop)] == before


def test_an_emptied_registry_makes_nobody_champion(workshop):
    workshop.make()
    one(workshop)
    empty(workshop)
    workshop.make(seed=1, elbo=-29.0)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1)
    assert "has no journal of tiny, whose champion was version 1 of sqlite://" in outcome.reason
    assert "`genmint promote --first tiny`" in outcome.reason
    assert versions(workshop) == []
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"], first=True)
    assert outcome.verdict == "promoted"
    assert one(workshop).verdict == "is champion"


def test_a_model_that_never_had_a_champion_needs_no_word(workshop):
    workshop.make(elbo=-35.0)
    assert one(workshop).verdict == "refused"
    empty(workshop)
    workshop.make()
    assert one(workshop).verdict == "promoted"


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_damaged_memory_of_champions_promotes_nothing_and_can_be_overruled(workshop, content):
    workshop.make()
    path = workshop.root / ".genmint" / "champions" / "tiny.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    outcome = one(workshop)
    assert (outcome.verdict, outcome.exit_code) == ("not promoted", 1)
    assert outcome.reason.startswith(f"{path}: ")
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"], first=True)
    assert outcome.verdict == "promoted"
    assert one(workshop).verdict == "is champion"
