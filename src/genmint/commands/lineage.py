"""`genmint lineage`: where a version came from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def lineage(
    target: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="NAME (its champion), NAME@alias or NAME/3 (a version)."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    checkout: Annotated[
        Path | None,
        typer.Option(
            "--checkout",
            metavar="DIR",
            help="A folder that does not exist, or is empty; the folder above it must exist.",
        ),
    ] = None,
) -> int:
    """Show where a version came from: run, commit, hashes, validation, gate, journal.

    What is not known is named, with the reason. Exit code 1 where two links contradict each other.
    --checkout restores the state of a version into a git worktree, in which
    `dvc repro --pull gate@MODEL` has nothing to run.

    \b
      genmint lineage image-vae                the champion
      genmint lineage image-vae/3 --checkout ../version-3
    """
    from genmint import lineage
    from genmint.common.console import print_json
    from genmint.common.files import check_folder, scratch_dir
    from genmint.common.project import Project
    from genmint.registry.journal import CHAMPION
    from genmint.registry.model_ref import ModelRef
    from genmint.registry.resolve import resolve_version

    project, wanted = Project.find(), ModelRef.parse(target)
    if checkout is not None:
        check_folder(checkout, "--checkout")
    alias = wanted.alias or (CHAMPION if wanted.version is None else None)
    registry, version = resolve_version(project, wanted.name, alias=alias, version=wanted.version)
    with scratch_dir() as scratch:
        evaluation = registry.evaluation(version, scratch, as_stored=True)
        traced = lineage.trace(registry, version, evaluation)
        if as_json:
            print_json(traced.as_json())
        else:
            lineage.print_lineage(traced)
        if checkout is not None:
            restored = lineage.check_out(project, traced, evaluation, checkout)
            print(f"{checkout}: commit {restored.commit[:12]} as {wanted.name}/{version.version} "
                  f"left it; {restored.next_step(wanted.name)}",
                  file=sys.stderr if as_json else sys.stdout)  # fmt: skip
    return 1 if traced.broken else 0
