"""`genmint promote`: from gate records to versions and champions."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from typing import Annotated

import typer

from genmint.commands.entries import Models, known_models, open_project


def promote(
    names: Models = None,
    first: Annotated[
        bool,
        typer.Option(
            "--first",
            help="Start a new journal in this registry, although this checkout has seen a "
            "champion of the model.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the outcome of each model as JSON.")
    ] = False,
) -> int:
    """Register what was gated, and make it champion where it is better.

    Idempotent: what is registered is not registered again. A model that failed its gate is
    registered with the reasons and gets no alias. An unreachable registry is exit code 1, with
    nothing written.
    """
    from genmint.common.console import print_json
    from genmint.promotion.dvc_checkout import restore
    from genmint.promotion.promote import promote

    project, params = open_project()
    chosen = known_models(params, names)
    restore(project, params, chosen)
    if as_json:
        with contextlib.redirect_stdout(sys.stderr):
            outcomes = promote(project, params, chosen, first=first)
        print_json([dataclasses.asdict(outcome) for outcome in outcomes])
    else:
        outcomes = promote(project, params, chosen, first=first)
    return max((outcome.exit_code for outcome in outcomes), default=0)
