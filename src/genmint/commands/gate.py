"""`genmint gate`: whether a measured model passes its bounds."""

from __future__ import annotations

from typing import Annotated

import typer

from genmint.commands.entries import AsJson, Model, known_entry, open_project
from genmint.commands.stage import entry_of


def gate(
    name: Model,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with status 1 if the gate fails, for CI.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Decide whether a measured model passes, and show every check with its reason.

    A stage of dvc.yaml: it writes reports/gates/MODEL.json from the model's metrics and its entry
    in the gates map of params.yaml. A failed gate is a result: the exit code is 0.
    """
    from genmint.commands.stage_process import running
    from genmint.stages import gate

    project, params = open_project()
    name = known_entry(entry_of("gate", name), params.models, "model")
    with running(project, f"gate@{name}"):
        passed = gate.run(project, params, name, as_json=as_json)
    return 1 if strict and not passed else 0
