"""genmint: train, evaluate, gate and promote generative models on your own data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from genmint.registry.loaded_model import LoadedModel

__version__ = "0.1.0"


def load(
    target: str | Path, project: str | Path | None = None, *, allow_refused: bool = False
) -> LoadedModel:
    """Load a model: `load("faces-vae@champion").sample(16, seed=0)`.

    Weights and configuration are compared with the project's signature and read with the genmint
    that is installed. Code that is stored with a version is never run. No server is needed.

    Args:
        target: NAME@alias or NAME/version (from the registry), NAME (the files in models/NAME), or
            a folder that `genmint export` wrote. A folder whose name could be NAME is written
            `./NAME`, or passed as a Path.
        project: a folder of the project; by default the working folder. Where that is none, the
            variable MLFLOW_TRACKING_URI names the registry.
        allow_refused: load a version although its gate failed, with a warning on stderr.

    Returns:
        The model, on the CPU, with `sample`, `encode`, `decode`, `reconstruct`, `interpolate` and
        `log_likelihood`, where its family has them. They take and return NumPy arrays and lists of
        strings.

    Raises:
        ConfigError: `target` has another form, or there is no project.
        GenmintError: no such model, or its files are not those that were registered; or the gate of
            the version failed and `allow_refused` is false.
        RegistryUnreachableError: the registry does not answer.
    """
    # Takes torch, and so seconds: this module is imported by every verb.
    from genmint.registry.loading import load

    return load(target, project, allow_refused=allow_refused)
