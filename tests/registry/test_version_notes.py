"""The note on top of a version's description comes, is renewed and goes without a trace."""

import pytest

from genmint.registry.version_notes import LONGEST, with_note, without_note

TABLE = "`tiny`\n\n**Gate: refused**\n\n> **quoted**\n"


@pytest.mark.parametrize("description", ["", TABLE])
def test_a_note_comes_and_goes(description):
    noted = with_note(description, "it failed\nits gate")
    assert noted.startswith("> **Alias reverted.** it failed its gate\n\n")
    assert noted.endswith(description)
    assert without_note(noted) == description


def test_a_new_note_replaces_the_old_one():
    assert with_note(with_note(TABLE, "first"), "second") == with_note(TABLE, "second")


def test_a_note_of_an_earlier_genmint_is_replaced_and_removed():
    noted = f"> **Alias put back.** it failed its gate\n\n{TABLE}"
    assert without_note(noted) == TABLE
    assert with_note(noted, "again") == with_note(TABLE, "again")


def test_an_override_is_a_note_like_the_others():
    noted = with_note(TABLE, "for a demonstration", "Override")
    assert noted.startswith("> **Override.** for a demonstration\n\n")
    assert without_note(noted) == TABLE
    assert with_note(noted, "it failed") == with_note(TABLE, "it failed")


def test_a_noted_description_fits_into_the_column_of_the_registry():
    noted = with_note("x" * LONGEST, "it failed")
    assert noted.startswith("> **Alias reverted.** it failed\n\nx")
    assert len(noted) == LONGEST
    assert noted.endswith("…")
