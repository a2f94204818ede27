"""What a journal's entries say together: the way back, and what may not return by itself."""

import dataclasses

import pytest

from genmint.registry.journal_entries import (
    Entry,
    Move,
    as_objects,
    before,
    last_valid,
    line,
    previous,
    print_entries,
    rolled_back,
)


def written(*moves):
    """Entries 1, 2, … from (kind, version[, left[, grounds of left]])."""
    entries = []
    for number, (kind, version, *rest) in enumerate(moves, start=1):
        left = rest[0] if rest else None
        entries.append(
            Entry(
                number=number,
                valid=kind != "void",
                finalised=True,
                kind=kind,
                version=version,
                previous=None,
                reason=f"reason {number}",
                left=left,
                weights="" if version is None else f"w{version}",
                gate_inputs="" if version is None else f"g{version}",
                left_weights="" if left is None else f"w{left}",
                left_gate_inputs=rest[1] if len(rest) > 1 else f"g{left}",
            )
        )
    return entries


UP = (("promotion", "1"), ("promotion", "2"), ("promotion", "3"))


@pytest.mark.parametrize(
    ("moves", "champions"),
    [
        ([], []),
        (UP, ["1", "2", "3"]),
        ([*UP, ("void", "4")], ["1", "2", "3"]),
        ([*UP, ("rollback", "2", "3")], ["1", "2"]),
        ([*UP, ("rollback", "2", "3"), ("rollback", "1", "2")], ["1"]),
        ([*UP, ("rollback", "1", "3")], ["1"]),
        ([*UP, ("rollback", "2", "3"), ("promotion", "4")], ["1", "2", "4"]),
        # Forward again, and to one that never was champion.
        ([*UP, ("rollback", "2", "3"), ("rollback", "3", "2")], ["1", "3"]),
        ([*UP, ("rollback", "7", "3")], ["1", "2", "7"]),
        ([*UP, ("by-hand", "1")], ["1", "2", "3", "1"]),
        ([*UP, ("reverted", "3")], ["1", "2", "3"]),
        ([*UP, ("override", None, "3")], ["1", "2", "3"]),
        ([*UP, ("override", None, "3"), ("rollback", "2")], ["1", "2"]),
    ],
)
def test_the_line_of_champions(moves, champions):
    assert line(written(*moves)) == [(version, f"w{version}") for version in champions]


@pytest.mark.parametrize(
    ("move", "first"),
    [
        (Move("promotion", "4", ""), "3"),
        (Move("by-hand", "1", ""), "3"),
        (Move("reverted", "3", ""), "2"),
        (Move("rollback", "2", "", left="3"), "1"),
        (Move("rollback", "1", "", left="3"), None),
        (Move("override", None, "", left="3"), "3"),
    ],
)
def test_where_previous_champion_will_point(move, first):
    weights = f"w{move.version}" if move.version else ""
    left = f"w{move.left}" if move.left else ""
    move = dataclasses.replace(move, weights=weights, left_weights=left)
    expected = None if first is None else (first, f"w{first}")
    assert next(iter(before(written(*UP), move)), None) == expected


def test_the_first_of_all_has_none_before_it():
    assert before([], Move("promotion", "1", "", weights="w1")) == []
    assert before([], Move("reverted", None, "", left="1", left_weights="w1")) == []


def test_a_number_that_came_to_mean_other_weights_is_another_champion():
    first, second, third = written(("promotion", "1"), ("promotion", "2"), ("promotion", "1"))
    again = dataclasses.replace(third, weights="other")
    assert line([first, second, again]) == [("1", "w1"), ("2", "w2"), ("1", "other")]
    back = Move("rollback", "1", "", left="1", weights="w1", left_weights="other")
    assert line([first, second, again, back]) == [("1", "w1")]


def test_an_entry_of_an_earlier_genmint_names_the_weights_to_go_back_to_by_number_only():
    entries = written(("promotion", "1"), ("promotion", "2"))
    last = dataclasses.replace(entries[1], previous="1")
    assert previous([entries[0], last], last) == ("1", "w1")
    assert previous([last], last) == ("1", "")
    named = dataclasses.replace(last, previous_weights="w9")
    assert previous([entries[0], named], named) == ("1", "w9")


def test_the_last_valid_entry():
    assert last_valid([]) is None
    assert last_valid(written(*UP, ("void", "4"))).version == "3"


BACK = (*UP, ("rollback", "2", "3"))


@pytest.mark.parametrize(
    ("moves", "weights", "grounds", "barred"),
    [
        (UP, "w3", "g3", False),
        (BACK, "w3", "g3", True),
        (BACK, "w3", None, True),
        (BACK, "w2", "g2", False),
        # Another gate record: the comparison decides.
        (BACK, "w3", "g9", False),
        # Its gate had decided anew while it was champion: that is what it was rolled back under.
        ([*UP, ("rollback", "2", "3", "g9")], "w3", "g9", True),
        ([*UP, ("rollback", "2", "3", "g9")], "w3", "g3", True),
        # It became champion again.
        ([*BACK, ("by-hand", "3")], "w3", "g3", False),
        ([*BACK, ("rollback", "3", "2")], "w3", "g3", False),
        ([*BACK, ("rollback", "3", "2")], "w2", "g2", True),
        ([*UP, ("override", None, "3")], "w3", "g3", True),
        # An alias that was put back says nothing of the version it was taken from.
        ([("reverted", None, "3")], "w3", "g3", False),
        ([*UP, ("void", "2", "3")], "w3", "g3", False),
    ],
)
def test_what_was_rolled_back_may_not_return_by_itself(moves, weights, grounds, barred):
    entries = written(*moves)
    found = rolled_back(entries, weights, grounds)
    assert (found is not None) == barred
    if barred:
        assert found.left_weights == weights


def test_entries_are_shown_oldest_first(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    known = {"1": "w1", "2": "w2", "3": "w3"}
    print_entries("tiny", written(*BACK, ("void", "9"), ("override", None, "2")), known)
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.split()[:1] and line.split()[0].isdigit()]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert rows[3][1:4] == ["valid", "rollback", "2"]
    assert rows[4][1] == "void"
    assert rows[5][2:4] == ["override", "none"]
    assert "reason 4" in lines[-4] + lines[-3] + lines[-5]


def test_an_empty_journal_says_so(capsys):
    print_entries("tiny", [], {})
    assert capsys.readouterr().out == "tiny: no entries; nothing was promoted yet\n"


def test_markup_in_a_reason_is_text(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    (entry,) = written(("promotion", "1"))
    print_entries("tiny", [Entry(**{**entry.__dict__, "reason": "[bold]said[/]"})], {"1": "w1"})
    assert "[bold]said[/]" in capsys.readouterr().out


def test_entries_as_json():
    first, second = as_objects(written(("promotion", "1"), ("void", "2")), {"1": "w1"})
    assert (first["number"], first["valid"], first["version"]) == (1, True, "1")
    assert second["valid"] is False
    assert (first["gone"], second["gone"]) == (False, True)


def test_an_entry_whose_version_is_gone_says_so(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    print_entries("tiny", written(*UP), {"2": "other", "3": "w3"})
    said = capsys.readouterr().out
    rows = [
        line.split() for line in said.splitlines() if line.split()[:1] and line.split()[0] in "123"
    ]
    assert [row[3:5] for row in rows[:2]] == [["1", "(gone)"], ["2", "(gone)"]]
    assert rows[2][3:5] != ["3", "(gone)"]
    assert "the registry has no version of that number with these weights any more" in said
