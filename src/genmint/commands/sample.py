"""`genmint sample`: samples of a model as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genmint.commands.entries import ModelRefArgument, open_project
from genmint.common.errors import ConfigError


def sample(
    target: ModelRefArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help=".png, .wav, .txt or .npy")],
    n: Annotated[int, typer.Option("-n", help="Number of samples.")] = 16,
    seed: Annotated[int, typer.Option("--seed")] = 0,
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
        typer.Option("--temperature", help="Of an RNN.", show_default="the model's"),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", help="Draw among the K most probable symbols.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", help="Draw from the nucleus of this probability.")
    ] = None,
) -> None:
    """Draw samples from a model into a file.

    The ending of the file's name decides the format: .png (images, spectrograms), .wav (audio;
    clips one after the other), .txt (text), .npy (the bare array). The same seed gives the same
    samples.

    \b
      genmint sample image-vae -n 64 --out digits.png
      genmint sample audio-rnn@champion -n 8 --seed 7 --out notes.wav
      genmint sample text-rnn --prompt 'The ' --top-p 0.9 --out text.txt
      genmint sample MODEL --label NAME --out some.png   (of a conditional model)
    """
    from genmint.reporting.sample_files import SampleRequest, sample_to_file

    project, params = open_project()
    if n < 1:
        raise ConfigError(f"-n {n}: draw at least one sample")
    if length is not None and length < 1:
        raise ConfigError(f"--length {length}: at least one symbol")
    given = {"prompt": prompt, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    options = {key: value for key, value in given.items() if value is not None}
    request = SampleRequest(n, seed, length, label, options)
    sample_to_file(project, params, target, out, request)
    print(f"wrote {out}")
