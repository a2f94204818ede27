"""genmint: train, evaluate, gate and promote generative models on your own data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from genmint.models.shared.family import Family

__version__ = "0.1.0"


def load(target: str, project: str | Path | None = None, *, allow_refused: bool = False) -> Family:
    """Load a model: `load("faces-vae@champion").sample(16, seed=0)`.

    Weights and configuration are compared with the project's signature and read with the genmint
    that is installed. Code that is stored with a version is never run.

    Args:
        target: NAME (the files in models/NAME), NAME@alias or NAME/version (from the registry).
        project: a folder of the project; by default the working folder. Where that is none, the
            variable MLFLOW_TRACKING_URI names the registry.
        allow_refused: load a version although its gate failed, with a warning on stderr.

    Returns:
        The model, on the CPU. `sample(n, seed=…)` gives a tensor as
        `genmint.models.shared.family` says.

    Raises:
        ConfigError: `target` has another form, or there is no project.
        GenmintError: no such model, or its files are not those that were registered; or the gate of
            the version failed and `allow_refused` is false.
        RegistryUnreachableError: the registry does not answer.
    """
    # Takes torch, and so seconds: this module is imported by every verb.
    from genmint.registry.loading import load

    return load(target, project, allow_refused=allow_refused)
