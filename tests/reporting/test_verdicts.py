"""Every combination of files, gate and champion: what the report states, and that none flatters."""

import itertools

import pytest

from genmint.decision.comparison import ChampionComparison, Comparison, Contrast
from genmint.registry.champion import Champion, champion_sentence
from genmint.registry.journal_entries import Entry, RegistryState
from genmint.registry.versions import Version
from genmint.reporting.status import ModelStatus
from genmint.reporting.verdicts import (
    Badge,
    champion_badge,
    contrast_text,
    files_badges,
    severity,
)

HERE, OTHER = "a" * 64, "b" * 64
FAILED = "it failed its gate"


def version(number, weights, **tags):
    return Version("tiny", number, weights, tags, "", None, "")


CHAMPIONS = {
    "none": None,
    "same": Champion("3", version("3", HERE), None),
    "same, failed": Champion("3", version("3", HERE), FAILED),
    "other": Champion("1", version("1", OTHER), None),
    "other, failed": Champion("2", version("2", OTHER), FAILED),
    "override": Champion("2", version("2", OTHER), FAILED, "for the demonstration"),
    "deleted": Champion("9", None, "this version does not exist any more"),
}


def contrast(difference=-0.13, bound=0.16, low=-0.3, passed=False, aim="superior", metric="elbo"):
    return Contrast(
        metric=metric, aim=aim, difference=difference, low=low, high=difference, bound=bound,
        passed=passed, reason="why",
    )  # fmt: skip


def compared(champion, *contrasts):
    better = all(one.passed for one in contrasts)
    test = Comparison(better=better, confidence=0.95, contrasts=contrasts)
    comparison = ChampionComparison(champion=champion, test=test, confirmation=None)
    return {"genmint.comparison": comparison.model_dump_json()}


def state_of(gate, registered, champion, by_hand):
    status = ModelStatus("tiny", weights=HERE, gate=gate, gate_mode="enforce")
    if registered:
        status.registered = version("3", HERE, **compared("1", contrast()))
    number = None if champion is None else champion.number
    status.registry_state = RegistryState((), number, by_hand=by_hand)
    status.champion_note = champion_sentence("tiny", status.registry_state, champion, None)
    return status


ALL = list(
    itertools.product(
        ("none", "passed", "failed", "outdated"), (True, False), CHAMPIONS, (True, False), ("", "x")
    )
)


@pytest.mark.parametrize(("gate", "registered", "who", "by_hand", "note"), ALL)
def test_no_state_calls_a_failed_version_good(gate, registered, who, by_hand, note):
    champion = None if note else CHAMPIONS[who]
    status = state_of(gate, registered, champion, by_hand)
    files = files_badges(status, champion, note)
    badge, sentence = champion_badge(status, champion, note)
    good = {one.text for one in files if one.style == "yes"}
    assert good == ({"passed its gate"} if gate == "passed" else set())
    assert ("failed its gate" in {one.text for one in files}) == (gate == "failed")
    if note:
        assert badge.style == "no"
        assert "unknown" in badge.text
        assert not any(one.text.startswith(("version 3", "not registered")) for one in files)
        return
    assert files[0].text == ("version 3" if registered else "not registered")
    if champion is not None and champion.problem is not None:
        assert badge.style == "no"
        assert champion.number in badge.text
        assert FAILED in badge.text or "not exist" in badge.text
        assert severity([*files, badge]) == 0
    golden = champion is not None and champion.problem is None and not by_hand
    golden = golden and (who == "other" or gate == "passed")
    assert (badge.style == "champion") == golden
    if champion is not None and champion.problem is not None:
        assert champion.problem in sentence or "not exist" in sentence
    if by_hand:
        assert "by hand" in sentence
        assert "genmint reconcile tiny" in sentence


def test_files_and_champion_are_two_statements():
    champion = CHAMPIONS["other"]
    status = state_of("passed", True, champion, by_hand=False)
    assert [one.text for one in files_badges(status, champion, "")] == [
        "version 3",
        "passed its gate",
        "not better than version 1 (elbo −0.13, needs +0.16)",
    ]
    assert champion_badge(status, champion, "")[0].text == "version 1"


def test_a_better_version_is_no_success_against_a_champion_that_failed():
    champion = CHAMPIONS["other, failed"]
    status = state_of("passed", True, champion, by_hand=True)
    better = compared("2", contrast(0.5, 0.1, 0.3, passed=True))
    status.registered = version("3", HERE, **better)
    last = files_badges(status, champion, "")[-1]
    assert last.text == "better than version 2 (elbo +0.5, needs +0.1)"
    assert last.style == "plain"


def test_a_comparison_with_an_earlier_champion_does_not_count():
    champion = CHAMPIONS["other, failed"]
    status = state_of("passed", True, champion, by_hand=False)
    assert files_badges(status, champion, "")[-1].text == "not compared with version 2"


def test_a_dry_run_and_a_missing_model():
    status = state_of("failed", True, None, by_hand=False)
    status.gate_mode = "dry-run"
    assert files_badges(status, None, "")[1] == Badge("failed its gate (dry-run)", "no")
    status.gate = "passed"
    assert files_badges(status, None, "")[1] == Badge("passed its gate (dry-run)", "plain")
    assert [one.text for one in files_badges(ModelStatus("tiny"), None, "")] == ["not trained"]


def test_a_version_that_was_rolled_back_says_so():
    entry = Entry(
        7, valid=True, finalised=True, kind="rollback", version="1", previous=None, reason="",
        left="3", weights=OTHER, left_weights=HERE,
    )  # fmt: skip
    status = state_of("passed", True, CHAMPIONS["other"], by_hand=False)
    status.registry_state = RegistryState((entry,), "1")
    last = files_badges(status, CHAMPIONS["other"], "")[-1]
    assert (last.text, last.style) == ("rolled back by journal entry 7", "no")


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (contrast(), "elbo −0.13, needs +0.16"),
        (contrast(0.2, 0.16, 0.1), "elbo +0.2 (confidence limit +0.1), needs +0.16"),
        # A lower code length is better: the sign is that of the value, as in the tables.
        (contrast(-0.1, 0.02, metric="bits_per_character"), "bits_per_character +0.1, needs −0.02"),
        (contrast(-0.1, -0.05, aim="non-inferior"), "elbo −0.1, allowed −0.05"),
        (contrast(bound=None), "elbo −0.13, margin unknown"),
        (contrast(difference=None, bound=None), "elbo: why"),
    ],
)
def test_a_contrast_in_words(one, text):
    assert contrast_text(one) == text
