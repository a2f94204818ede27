"""`genmint bench`: what would make training faster on this machine."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

from genmint.commands.entries import AsJson, Model, known_entry, open_project
from genmint.common.errors import ConfigError


def bench(
    name: Model,
    seconds: Annotated[
        float, typer.Option("--seconds", help="Per setting, without its start-up; below an hour.")
    ] = 10.0,
    record: Annotated[
        bool, typer.Option("--record", help="Let auto follow these timings from now on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Time what could make a model's training faster here, and say what to set.

    Trains the model for a few seconds with each precision, with and without torch.compile and, for
    convolutions, both memory layouts, in turn; writes nothing but the record, if asked to. Run it
    on an idle machine.
    """
    from genmint.common.console import print_json
    from genmint.training.bench import bench

    project, params = open_project()
    if not 0 < seconds < 3600:
        raise ConfigError(f"--seconds {seconds}: between 0 and an hour")
    name = known_entry(name, params.models, "model")
    if as_json:
        with contextlib.redirect_stdout(sys.stderr):
            timings = bench(project, params, name, seconds, record=record)
        print_json(timings)
    else:
        bench(project, params, name, seconds, record=record)
