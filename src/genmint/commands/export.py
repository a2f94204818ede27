"""`genmint export`: a registered version as a folder to pass on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genmint.commands.entries import AllowRefused


def export(
    target: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="NAME@champion (or another alias) or NAME/3."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="A folder that does not exist, or is empty."),
    ],
    allow_refused: AllowRefused = False,
) -> None:
    """Write a registered version into a folder, for people who do not have the registry.

    \b
      model.safetensors, config.json   weights and settings, as registered
      README.md                        model card: data and licence, training, metrics with
                                       intervals, gate, limits, samples
      gate.json, metrics.json, protocol.json
      samples/                         .png, .wav or .txt, drawn with seed 0
      manifest.json                    sha256 of every file

    `genmint.load("./DIR")` loads the folder. A version whose gate failed is refused, unless
    --allow-refused is given.

    \b
      genmint export image-vae@champion --out image-vae-1
    """
    from genmint.common.project import Project
    from genmint.reporting.export import CARD
    from genmint.reporting.export import export as write

    write(Project.find(), target, out, allow_refused=allow_refused)
    print(f"wrote {out}: its model card is {out / CARD}")
