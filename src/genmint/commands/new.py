"""`genmint new`: entries for a folder of your own."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from genmint.common.errors import ConfigError


class FamilyName(StrEnum):
    """Families of models, as the command line names them."""

    vae = "vae"
    gan = "gan"
    rnn = "rnn"


class KindName(StrEnum):
    """Kinds of items, as the command line names them."""

    image = "image"
    audio = "audio"
    text = "text"


def new(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="Your folder of images, audio or text, or one file of text."
        ),
    ],
    minutes: Annotated[
        float,
        typer.Option(
            "--minutes",
            help="Time for all stages on this machine, from ingest to gate. Training steps are "
            "timed to choose networks and steps.",
        ),
    ] = 10.0,
    families: Annotated[
        list[FamilyName] | None,
        typer.Option(
            "--family", help="vae, gan or rnn; may be repeated.", show_default="all that fit"
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the data set.", show_default="that of the folder"),
    ] = None,
    kind: Annotated[
        KindName | None,
        typer.Option(
            "--kind", help="Kind of the items, if the folder has several.", show_default="by files"
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write without a question.")] = False,
) -> int:
    """Look at your files and propose all that training needs in params.yaml.

    Prints what the files are: sizes, rates, labels, duplicates, and what cannot be used. Then it
    proposes a data set, a model of each family that fits, and a gate for each, and shows them as
    a diff before it writes. No entry is ever overwritten, and no file of yours is changed.

    \b
    Example:
      genmint new data/own/photos
      dvc repro gate@photos-rnn
      genmint promote photos-rnn
      genmint sample photos-rnn@champion -n 16 --out samples.png

    A gate states what a model must reach without numbers of your data: less than PNG needs for
    the same images (baseline: png), or half-way from a trivial baseline to real data (skill: 0.5).
    See docs/data.md.
    """
    from genmint.common.project import Project
    from genmint.config.params_text import check_writable
    from genmint.proposal.propose import Wishes, propose

    if not 0.1 <= minutes <= 60 * 24 * 30:
        raise ConfigError(f"--minutes {minutes:g}: between 0.1 and 43200 (a month)")
    if not yes and not sys.stdin.isatty():
        raise ConfigError("it asks before it writes, and this is no terminal: add --yes")
    project = Project.find()
    check_writable(project.params)
    chosen = tuple(dict.fromkeys(each.value for each in families or ()))
    wishes = Wishes(name, chosen, minutes, None if kind is None else kind.value)
    proposal = propose(project, path, wishes, _report)
    print(proposal.overview)
    print(*proposal.notes, sep="\n", end="\n" if proposal.notes else "")
    print(f"\n{proposal.insertion.diff()}", flush=True)
    if not yes and not typer.confirm("Write this into params.yaml?"):
        print("nothing was written")
        return 1
    proposal.insertion.write()
    print(f"written to {project.params}. Next:")
    for command in proposal.commands():
        print(f"  {command}")
    return 0


def _report(line: str) -> None:
    """Print a step of the survey on stderr."""
    print(f"genmint new: {line}", file=sys.stderr, flush=True)
