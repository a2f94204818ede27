"""`genmint add`: entries of a recipe for params.yaml."""

from __future__ import annotations

from typing import Annotated

import typer


def add(
    recipe: Annotated[
        str | None, typer.Argument(metavar="[RECIPE]", help="Name of a file in config/recipes.")
    ] = None,
) -> None:
    """Put the entries of a recipe into params.yaml; its comments and yours stay.

    Without RECIPE it lists what there is.
    """
    from genmint.common.project import Project
    from genmint.config.recipe import add_recipe, list_recipes

    project = Project.find()
    if recipe is None:
        for name, what in list_recipes(project):
            print(f"{name:24} {what}")
        return
    added = add_recipe(project, recipe)
    print(f"added to params.yaml: {', '.join(added)}")
    models = [key.removeprefix("models.") for key in added if key.startswith("models.")]
    gates = " ".join(f"gate@{name}" for name in models)
    print(f"next: dvc repro {gates} && genmint promote {' '.join(models)}")
