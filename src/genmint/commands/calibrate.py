"""`genmint calibrate`: bounds of a gate from measured training runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from genmint.commands.entries import Model, known_entry, open_project


def calibrate(
    name: Model,
    yes: Annotated[
        bool, typer.Option("--yes", help="Write the bounds without asking, for scripts.")
    ] = False,
    loosen: Annotated[
        bool,
        typer.Option("--loosen", help="Also propose bounds that are looser than the present ones."),
    ] = False,
) -> None:
    """Propose bounds for a gate from measured runs, as a diff of params.yaml.

    Compares the run in models/MODEL, and those of `genmint spread` if there are any, with a run of
    a tenth of the steps, which it trains in a scratch folder. For each metric in the thresholds of
    the gate it proposes a bound between the two. A bound is not made looser without --loosen.
    """
    from genmint.config.params_text import (
        as_diff,
        check_writable,
        read_params_text,
        write_params_text,
    )
    from genmint.promotion.calibration import calibrate, edited

    project, params = open_project()
    name = known_entry(name, params.models, "model")
    before = read_params_text(project.params)
    if yes:
        check_writable(project.params)
    calibration = calibrate(project, params, name)
    for metric, note in calibration.notes.items():
        print(f"{name}: no bound for {metric}: {note}")
    looser = [one for one in calibration.proposals if one.looser]
    if looser and not loosen:
        for one in looser:
            print(
                f"{name}: {one.metric} {one.key} {one.value:g} would be looser than the present "
                f"{one.before:g} ({one.evidence}); --loosen proposes it"
            )
    chosen = tuple(one for one in calibration.proposals if loosen or not one.looser)
    if not chosen:
        print(f"{name}: no bound to change")
        return
    after = edited(before.text, project.params, name, chosen)
    print(as_diff(before.text, after))
    for one in chosen:
        if one.looser:
            print(f"{name}: looser than before: {one.metric} {one.key} {one.before:g}")
    if not (yes or _agreed()):
        print("nothing was written; --yes writes it")
        return
    write_params_text(project.params, before, after)
    print(f"wrote params.yaml; next: dvc repro gate@{name}")


def _agreed() -> bool:
    return sys.stdin.isatty() and typer.confirm("Write this to params.yaml?")
