"""`genmint encode`: latent coordinates of a data set as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genmint.commands.entries import AllowRefused, ModelRefArgument, open_project


def encode(
    target: ModelRefArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help=".parquet or .csv")],
    allow_refused: AllowRefused = False,
) -> None:
    """Write the latent coordinates of a data set under a VAE.

    One row an item: split, item, label (if the set has labels) and z_0, z_1, … (the mean of
    q(z|x)): dimension reduction for plots, clustering or a small classifier. For a VQ-VAE these
    are the numbers of its codes. The folder of the file must exist.

    \b
      genmint encode image-vae --out latents.parquet
    """
    from genmint.reporting.sample_files import encode_to_file

    project, _ = open_project()
    rows = encode_to_file(project, target, out, allow_refused=allow_refused)
    print(f"wrote {out}: {rows} rows")
