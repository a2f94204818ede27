"""`genmint journal`: who was champion, since when and why."""

from __future__ import annotations

from typing import Annotated

import typer

from genmint.commands.entries import Model, known_entry, open_project


def journal(
    name: Model,
    as_json: Annotated[bool, typer.Option("--json", help="As a list of objects.")] = False,
) -> None:
    """Show who was champion, since when and why."""
    from genmint.common.console import print_json
    from genmint.registry import journal_entries
    from genmint.registry.championship import Championship
    from genmint.registry.registry import Registry

    project, params = open_project()
    known_entry(name, params.models, "model")
    registry = Registry.existing(project)
    written = [] if registry is None else Championship(registry).entries(name)
    versions = [] if registry is None else registry.versions(name)
    known = {version.version: version.weights for version in versions}
    if as_json:
        print_json(journal_entries.as_objects(written, known))
    else:
        journal_entries.print_entries(name, written, known)
