"""`genmint rollback`: an earlier champion becomes champion again."""

from __future__ import annotations

from typing import Annotated

import typer

from genmint.commands.entries import Model, known_entry, open_project
from genmint.common.errors import ConfigError


def rollback(
    name: Model,
    reason: Annotated[str, typer.Option("--reason", help="For the journal.")],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="VERSION",
            help="A version that passed its gate.",
            show_default="the champion before",
        ),
    ] = None,
) -> None:
    """Make an earlier champion champion again.

    The version that is left is marked, and `genmint promote` does not promote it again unless its
    gate decides anew and it is better. Exit code 1, with nothing changed, where there is nothing to
    go back to or somebody else moved the champion meanwhile.

    \b
      genmint rollback image-vae --reason "blurred sevens"
    """
    from genmint.promotion.rollback import rollback

    project, params = open_project()
    known_entry(name, params.models, "model")
    if not reason.strip():
        raise ConfigError("--reason: give the reason for the journal")
    if to is not None and not (to.isdecimal() and int(to) > 0):
        raise ConfigError(f"--to {to}: the number of a version, such as 3")
    number = None if to is None else str(int(to))
    print(rollback(project, params, name, reason.strip(), number))
