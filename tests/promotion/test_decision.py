"""What becomes of a challenger, as a pure function: no registry and no file is asked."""

import pytest

from genmint.decision.comparison import ChampionComparison, Comparison
from genmint.promotion.decision import decide_promotion
from genmint.registry.journal_entries import Entry, RegistryState
from genmint.registry.versions import Version


def version(number, weights, grounds="g"):
    return Version("tiny", number, weights, {"genmint.grounds": grounds}, "", None, "")


def entry(number, version, weights, kind="promotion", **more):
    more = {"gate_inputs": "g", "time": "", "user": "", **more}
    return Entry(number, True, True, kind, version, None, "a reason", weights=weights, **more)


def ruling(better):
    test = Comparison(better=better, confidence=0.95, contrasts=())
    return ChampionComparison(champion="1", test=test, confirmation=None)


def not_asked(_):
    pytest.fail("compared")


CHAMPION, CHALLENGER = version("1", "old"), version("2", "new")
FIRST = RegistryState(written=(), champion=None)
SECOND = RegistryState(written=(entry(1, "1", "old"),), champion="1")


def test_the_first_needs_no_comparison():
    decision = decide_promotion(FIRST, None, CHALLENGER, not_asked, dry=False)
    assert (decision.verdict, decision.alias) == ("promoted", "champion")
    assert decision.reason == "passed its gate, and there was no champion"


def test_the_champion_itself_is_no_challenger():
    decision = decide_promotion(SECOND, CHAMPION, version("2", "old"), not_asked, dry=False)
    assert (decision.verdict, decision.alias) == ("is champion", "none")


def test_what_was_rolled_back_is_not_compared_again_unless_its_gate_decides_anew():
    left = entry(3, "1", "old", kind="rollback", left="2", left_weights="new", left_gate_inputs="g")
    back = RegistryState(written=(entry(1, "1", "old"), entry(2, "2", "new"), left), champion="1")
    decision = decide_promotion(back, CHAMPION, CHALLENGER, not_asked, dry=False)
    assert (decision.verdict, decision.alias) == ("rolled back", "keep")
    anew = version("2", "new", grounds="others")
    assert (
        decide_promotion(back, CHAMPION, anew, lambda _: ruling(True), dry=False).verdict
        == "promoted"
    )


@pytest.mark.parametrize(
    ("found", "verdict", "alias"),
    [
        (ruling(True), "promoted", "champion"),
        (ruling(False), "not better", "challenger"),
        ("another shape", "not comparable", "challenger"),
    ],
)
def test_the_comparison_decides(found, verdict, alias):
    asked = []
    decision = decide_promotion(
        SECOND, CHAMPION, CHALLENGER, lambda champion: asked.append(champion) or found, dry=False
    )
    assert (decision.verdict, decision.alias) == (verdict, alias)
    assert asked == [CHAMPION]


@pytest.mark.parametrize("champion", [None, CHAMPION])
@pytest.mark.parametrize("found", [ruling(True), ruling(False), "another shape"])
def test_a_dry_run_changes_no_alias(champion, found):
    registry_state = FIRST if champion is None else SECOND
    decision = decide_promotion(registry_state, champion, CHALLENGER, lambda _: found, dry=True)
    assert decision.alias == "keep"
    assert decision.verdict != "promoted"
    if champion is None or found == ruling(True):
        assert decision.verdict == "dry-run"
        assert decision.reason.startswith("would become champion: ")
