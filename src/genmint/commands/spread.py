"""`genmint spread`: how far training runs differ that differ by seed alone."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

from genmint.commands.entries import AsJson, Model, known_entry, open_project


def spread(
    name: Model,
    trainings: Annotated[int, typer.Option("--trainings", help="Training runs, 5 or more.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Measure how far training runs of a model differ by seed alone.

    Trains the model several times with seeds of its own, measures each, and writes the file
    results/seed_spread/MODEL.json, which belongs into git. A challenger must beat the champion by
    more than that. models/MODEL stays as it is; interrupted, the same command continues.
    """
    from genmint.common.console import print_json
    from genmint.promotion.seed_spread import measure_spread

    project, params = open_project()
    name = known_entry(name, params.models, "model")
    if as_json:
        with contextlib.redirect_stdout(sys.stderr):
            spread = measure_spread(project, params, name, trainings)
        print_json(spread.model_dump(mode="json"))
    else:
        measure_spread(project, params, name, trainings)
