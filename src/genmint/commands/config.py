"""`genmint config`: what a key of params.yaml means."""

from __future__ import annotations

from typing import Annotated

import typer

from genmint.commands.entries import AsJson


def config(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[KEY]",
            help="MAP.ENTRY.KEY; for ENTRY also *, a kind of data set or a family of models.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain a key of params.yaml: description, type, range, default and present value.

    Without KEY it lists the maps with their entries; with --json, every key.
    docs/configuration.md has all keys.

    \b
      genmint config models.image-vae.latent
      genmint config models.vae                (all keys of a family)
      genmint config 'datasets.*.split'
    """
    import shutil

    from genmint.common.console import print_json
    from genmint.common.project import Project
    from genmint.common.reading import read_yaml
    from genmint.config.lookup import explain, explain_as_objects, overview

    document = read_yaml(Project.find().params)
    document = document if isinstance(document, dict) else {}
    if as_json:
        from genmint.config.settings import maps

        keys = maps() if key is None else [key]
        settings = [one for each in keys for one in explain_as_objects(each, document)]
        print_json(settings)
        return
    width = min(100, shutil.get_terminal_size((100, 24)).columns)
    print(overview(document, width) if key is None else explain(key, document, width))
