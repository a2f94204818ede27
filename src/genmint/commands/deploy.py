"""`genmint deploy`: Prefect's server agrees with prefect.yaml."""

from __future__ import annotations

from typing import Annotated

import typer

from genmint.commands.entries import AsJson


def deploy(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make Prefect's server agree with prefect.yaml.

    Adds, changes and removes deployments and schedules until the server has what the file says,
    and prints each difference. `genmint services` does the same at its start. What genmint did not
    deploy is left alone. See docs/services.md.

    \b
      genmint deploy --dry-run      show the differences, change nothing
      genmint deploy
    """
    from genmint.common.console import print_json
    from genmint.common.project import Project
    from genmint.services.deploying import deploy_by_hand

    lines = deploy_by_hand(Project.find(), dry_run=dry_run)
    if as_json:
        print_json(lines)
        return
    for line in lines:
        print(line)
