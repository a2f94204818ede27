"""`genmint keys`: which key signs what is written into the registry."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

from genmint.commands.entries import AsJson, Models, known_models, open_project


def keys(
    names: Models = None,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="Sign every unsigned version and journal entry that passes all other checks. "
            "Creates the key if there is none.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Show which key signs what is written into the registry, and what is not signed.

    The key is in the variable GENMINT_SIGNING_KEY or in .genmint/signing.key, which the first
    promotion makes. Exit code 1 where something is not signed with it: such versions and journal
    entries do not count. See docs/security.md.
    """
    from genmint.promotion import key_change

    project, params = open_project()
    chosen = known_models(params, names)
    if not adopt:
        return key_change.print_signatures(project, chosen, as_json=as_json)
    if not as_json:
        return key_change.adopt(project, params, chosen)
    with contextlib.redirect_stdout(sys.stderr):
        code = key_change.adopt(project, params, chosen)
    return max(code, key_change.print_signatures(project, chosen, as_json=True))
