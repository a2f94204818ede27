"""What the flow reads of `genmint promote`."""

import json

import pytest

from genmint.flow import champions
from genmint.flow.stage import Done, ProcessGroup, StageError

OUTCOME = {"name": "tiny", "verdict": "refused", "reason": "it failed", "version": "5"}


def test_the_results_of_a_real_promotion(stocked):
    stocked.make(seed=9, elbo=-35.0)
    log = []
    results = champions.promote(
        stocked.project, ["tiny"], {"tiny": "2"}, ProcessGroup(), log.append
    )
    (result,) = results
    assert (result.name, result.verdict, result.version) == ("tiny", "refused", "5")
    assert (result.before, result.after) == ("2", "2")
    # The log has what a person reads, not the JSON.
    assert not any(line.strip().startswith(("[", "{", "}", "]")) for line in log)


@pytest.mark.parametrize("indent", [None, 2], ids=["an earlier revision", "indented"])
def test_json_in_one_line_and_indented(stocked, monkeypatch, indent):
    def run(_project, _command, *, process_group, say):
        for line in ("tiny: measured", *json.dumps([OUTCOME], indent=indent).splitlines()):
            say(line)
        return Done(1, [], None)

    monkeypatch.setattr(champions, "run", run)
    log = []
    (result,) = champions.promote(
        stocked.project, ["tiny"], {"tiny": "2"}, ProcessGroup(), log.append
    )
    assert (result.verdict, result.reason, log) == ("refused", "it failed", ["tiny: measured"])


def test_a_promotion_that_reports_nothing_is_an_error(stocked, monkeypatch):
    monkeypatch.setattr(champions, "run", lambda *_, **__: Done(1, ["no space left"], None))
    with pytest.raises(StageError, match="no space left"):
        champions.promote(stocked.project, ["tiny"], {"tiny": "2"}, ProcessGroup(), print)
