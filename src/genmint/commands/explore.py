"""`genmint explore`: a page that shows what a model has learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genmint.commands.entries import AllowRefused, ModelRefArgument, open_project


def explore(
    target: ModelRefArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help=".html")],
    seed: Annotated[int, typer.Option("--seed", help="Of all draws.")] = 0,
    allow_refused: AllowRefused = False,
) -> None:
    """Make a page that shows what a model has learnt.

    VAE: the traversal of each latent with its KL in nats and the change that it causes, paths
    between held-out items, a map of the latents, attention maps. GAN: paths between samples. Both:
    the nearest training items of the samples that look most like copies. Audio: clips and their
    spectrograms. RNN of text: the surprisal of each character, and what the attention looked back
    at. The folder of the page must exist.

    \b
      genmint explore image-vae --out image-vae.html
    """
    from genmint.reporting.explore import explore

    project, _ = open_project()
    explore(project, target, out, seed=seed, allow_refused=allow_refused)
    print(f"wrote {out}")
