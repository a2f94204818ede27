import pytest

from genmint.training import idle_clock
from genmint.training.idle_clock import IdleClock


def test_time_spent_waiting_for_a_core_does_not_count(monkeypatch, tmp_path):
    waited = tmp_path / "schedstat"
    waited.write_text("5 1000000000 7\n")
    monkeypatch.setattr(idle_clock, "_WAITED", waited)
    clock = IdleClock()
    before = clock()
    waited.write_text("5 31000000000 7\n")
    assert clock() - before == pytest.approx(-30, abs=5)
    assert clock.busy == 1.0
    monkeypatch.setattr(idle_clock, "_WAITED", tmp_path / "gone")
    assert IdleClock().busy == 0.0
