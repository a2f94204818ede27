"""`genmint sample`: samples of a model as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genmint.commands.entries import AllowRefused, ModelRefArgument, open_project
from genmint.common.errors import ConfigError


def sample(
    target: ModelRefArgument,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help=".png, .wav, .txt, .jsonl or .npy")
    ],
    n: Annotated[int, typer.Option("-n", help="Number of samples.")] = 16,
    seed: Annotated[int, typer.Option("--seed", help="The same seed, the same samples.")] = 0,
    length: Annotated[
        int | None,
        typer.Option("--length", help="Symbols of a text.", show_default="the protocol's"),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help="Beginning of a text.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="Class of the samples of a conditional model.")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", help="Of an RNN or hierarchical VAE.", show_default="the model's"
        ),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", help="Draw among the K most probable symbols.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", help="Draw from the nucleus of this probability.")
    ] = None,
    allow_refused: AllowRefused = False,
) -> None:
    """Draw samples from a model into a file.

    The ending of the file's name decides the format. The folder of the file must exist.

    \b
      .png    images or spectrograms on one sheet
      .wav    audio: the clips one after the other, with pauses
      .txt    texts with an empty line between them, which a text may contain, too
      .jsonl  texts, one JSON string a line
      .npy    the values, not the model's codes. Images and spectrograms: uint8
              N×C×H×W. Audio drawn sample by sample: int16 N×T. Texts: N strings

    The same seed gives the same samples. A version whose gate failed is refused, unless
    --allow-refused is given.

    \b
      genmint sample image-vae -n 64 --out digits.png
      genmint sample audio-rnn@champion -n 8 --seed 7 --out notes.wav
      genmint sample text-rnn --prompt 'The ' --top-p 0.9 --out text.jsonl
      genmint sample MODEL --label NAME --out some.png   (of a conditional model)
    """
    from genmint.reporting.sample_files import SampleRequest, sample_to_file

    project, params = open_project()
    if n < 1:
        raise ConfigError(f"-n {n}: draw at least one sample")
    if seed < 0:
        raise ConfigError(f"--seed {seed}: it is 0 or more")
    if length is not None and length < 1:
        raise ConfigError(f"--length {length}: at least one symbol")
    given = {"prompt": prompt, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    options = {key: value for key, value in given.items() if value is not None}
    request = SampleRequest(n, seed, length, label, options)
    sample_to_file(project, params, target, out, request, allow_refused=allow_refused)
    print(f"wrote {out}")
