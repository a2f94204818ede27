"""`genmint drift`: whether new data differ from what the models learned."""

from __future__ import annotations

from typing import Annotated

import typer

from genmint.commands.entries import known_entry


def drift(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATASET]...", help="Data set entries.", show_default="all that are watched"
        ),
    ] = None,
    check_now: Annotated[bool, typer.Option("--look", help="Check now.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON.")] = False,
) -> int:
    """Show whether new data drifted from what the models learned, and why.

    Shows the latest drift check of each data set with an entry under drift in params.yaml. With
    --look it checks now, as the flow `drift` does on a schedule: new data go through ingest and
    Great Expectations in a checkout of their own, and windows of new items are tested. Nothing is
    retrained. Exit code 1 if data fail their validation.

    \b
      genmint drift --look faces
    """
    from genmint.common.console import print_json
    from genmint.common.project import Project
    from genmint.drift.check import check_drift, watched
    from genmint.drift.show import lines_of
    from genmint.drift.state import DriftStore

    project = Project.find()
    known = watched(project, ignore_uncommitted=True)
    what = "entry under drift (as committed) for"
    decisions = []
    for name in [known_entry(name, known, what) for name in names or ()] or known:
        if check_now:
            decisions.append(check_drift(project, name, ignore_uncommitted=True))
        else:
            decisions += DriftStore(project, name).decisions(1)
    if as_json:
        print_json([each.model_dump(mode="json") for each in decisions])
    else:
        for each in decisions:
            print("\n".join(lines_of(each)))
        if not decisions:
            print("no drift check yet: `genmint drift --look`, or the flow `drift`")
    return 1 if any(each.verdict == "stopped" for each in decisions) else 0
