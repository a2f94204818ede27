"""The project that a verb works on, and entries of its params.yaml by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from genmint.common.errors import ConfigError
from genmint.common.nearest import nearest_or_all

if TYPE_CHECKING:
    from genmint.common.project import Project
    from genmint.config import Params

# Arguments that several verbs share.
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model entry of params.yaml.")]
Models = Annotated[
    list[str] | None,
    typer.Argument(metavar="[MODEL]...", help="Model entries.", show_default="all of params.yaml"),
]
ModelRefArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="NAME: the files in models/NAME; NAME@champion (or another alias) or NAME/3 (a "
        "version): from the registry.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
AllowRefused = Annotated[
    bool,
    typer.Option("--allow-refused", help="Accept a registered version whose gate failed."),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure", help="Accept other machines without a login if GENMINT_LOGIN is not set."
    ),
]


def open_project() -> tuple[Project, Params]:
    """The project of the working folder, and its params.yaml.

    Raises:
        ConfigError: there is no project here, or params.yaml is not valid.
    """
    from genmint.common.project import Project
    from genmint.config import load_params

    project = Project.find()
    return project, load_params(project.params)


def known_entry(name: str, known: Iterable[str], what: str) -> str:
    """The name itself, if params.yaml has it.

    Args:
        name: that was given.
        known: names in params.yaml.
        what: they are, for the message: "model", say.

    Raises:
        ConfigError: it is none of them; the message names the nearest one.
    """
    names = list(known)
    if name not in names:
        raise ConfigError(f"params.yaml has no {what} {name!r}; {nearest_or_all(name, names)}")
    return name


def known_models(params: Params, names: Sequence[str] | None) -> list[str]:
    """The models of these names, all of params.yaml if there are none.

    Raises:
        ConfigError: a name is not in params.yaml.
    """
    return [known_entry(name, params.models, "model") for name in names or params.models]
