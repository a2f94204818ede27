"""A registered model as MLflow serves it: weights as safetensors, code as code, nothing pickled.

MLflow stores this file beside the weights and runs it to load the model ("models from code"), with
a copy of the package in `code/`, so a version loads where there is no checkout.

A request is a table with one row per draw: `n` (how many samples, 1…1024), `seed` (the same seed
gives the same samples), and for texts and other streams `length` (symbols, optional). An RNN also
takes `temperature`, `top_k` and `top_p` in the place of what it was registered with, and for texts
`prompt`, which every sample then begins with (all optional). A conditional model takes `label`, the
class that the samples are to be of (optional: without it, of all). The answer has one row per
sample: `request` (row number of the draw), `index` (number of the sample within it) and `sample`:
C×H×W levels 0…255 for images and pictures of sound, 16-bit values for clips, a string for texts.
"""

from __future__ import annotations

import importlib.metadata
import math
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import AnyType

from genmint.data import views
from genmint.errors import ConfigError
from genmint.models import store
from genmint.models.conditioning import asked_for
from genmint.models.record import CONFIG, WEIGHTS
from genmint.models.rnn import drawing

_MAX_SAMPLES = 1024
_MAX_LENGTH = 100_000
_MAX_SYMBOLS = 1_000_000
_MAX_SEED = 2**63 - 1
_TEXT_LENGTH = 512
# What the copied package needs to load a model and to sample from it; mlflow adds itself.
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "pydantic", "ruamel.yaml", "safetensors", "torch")
_PACKAGE = Path(__file__).resolve().parent
# The parts of the package that a loaded model runs.
_CODE = ("__init__.py", "errors.py", "files.py", "reading", "config", "data", "models")


class SamplingModel(PythonModel):  # type: ignore[misc]
    """Draws samples from the weights it was stored with."""

    def load_context(self, context: Any) -> None:
        """Load weights and configuration; raises GenmintError if they are damaged."""
        self._model, _ = store.load(Path(context.artifacts["model"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Draw as each row of `model_input` asks.

        Raises:
            ValueError: a number is missing, NaN, not whole, or out of range, or the model does not
                know what a row asks for.
        """
        rows: list[dict[str, Any]] = []
        for number, request in enumerate(model_input.to_dict(orient="records")):
            rows += self._draw(number, request)
        return pd.DataFrame(rows, columns=["request", "index", "sample"])

    def _draw(self, number: int, request: dict[Any, Any]) -> list[dict[str, Any]]:
        n = _whole(request, "n", 1, _MAX_SAMPLES)
        seed = _whole(request, "seed", 0, _MAX_SEED)
        spec = self._model.spec
        length = None
        if not spec.shape:
            length = _TEXT_LENGTH
            if request.get("length") is not None:
                length = _whole(request, "length", 1, _MAX_LENGTH)
        elif request.get("length") is not None:
            raise ValueError(f"length: {spec.dataset} has items of a fixed length; leave it out")
        said = {key: request[key] for key in drawing.SAID if not _is_missing(request.get(key))}
        if "top_k" in said:
            said["top_k"] = _whole(request, "top_k", 1, _MAX_SYMBOLS)
        try:
            how = drawing.asked(spec, n, said)
            label = None if _is_missing(request.get("label")) else request["label"]
            labels = asked_for(self._model.classes, label, n)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        drawn = self._model.sample(n, seed=seed, length=length, labels=labels, **how)
        if "prompt" in how:
            drawn = torch.cat([how["prompt"], drawn], dim=1)
        shown = drawn if spec.view == "grid" else views.from_symbols(drawn, spec)
        samples = shown if isinstance(shown, list) else shown.tolist()
        return [{"request": number, "index": i, "sample": s} for i, s in enumerate(samples)]


def signature() -> ModelSignature:
    """Say what a request and an answer look like."""
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec("long", "n"),
                ColSpec("long", "seed"),
                ColSpec("long", "length", required=False),
                ColSpec("string", "prompt", required=False),
                ColSpec("double", "temperature", required=False),
                ColSpec("long", "top_k", required=False),
                ColSpec("double", "top_p", required=False),
                ColSpec("string", "label", required=False),
            ]
        ),
        outputs=Schema(
            [ColSpec("long", "request"), ColSpec("long", "index"), ColSpec(AnyType(), "sample")]
        ),
    )


def save(model_folder: Path, target: Path) -> None:
    """Write the MLflow model of a genmint model (model.safetensors, config.json) to `target`.

    `target` must not exist. Requirements are named outright, since MLflow's guess would run the
    model.
    """
    with tempfile.TemporaryDirectory(prefix="genmint-") as scratch:
        code = Path(scratch) / "genmint"
        code.mkdir()
        for part in _CODE:
            source = _PACKAGE / part
            if source.is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(source, code / part, ignore=ignore)
            else:
                shutil.copy2(source, code / part)
        weights = Path(scratch) / "weights"
        weights.mkdir()
        for name in (WEIGHTS, CONFIG):
            shutil.copyfile(model_folder / name, weights / name)
        with warnings.catch_warnings():
            # MLflow asks for an input example; one would make it run the model for seconds.
            warnings.filterwarnings("ignore", message=".*input example.*")
            mlflow.pyfunc.save_model(
                path=str(target),
                python_model=str(Path(__file__).resolve()),
                artifacts={"model": str(weights)},
                code_paths=[str(code)],
                signature=signature(),
                pip_requirements=[_requirement(name) for name in _REQUIREMENTS],
            )


def _requirement(name: str) -> str:
    # "2.13.0+cpu" names a build that no index has: the public part is what can be installed.
    return f"{name}=={importlib.metadata.version(name).partition('+')[0]}"


def _is_missing(value: Any) -> bool:
    """Whether a table's cell was left out: an optional number is then None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _whole(request: dict[Any, Any], key: str, low: int, high: int) -> int:
    value = request.get(key)
    if value is None:
        raise ValueError(f"{key}: is missing; give a whole number from {low} to {high}")
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ValueError(f"{key}: {value!r} is not a number")  # noqa: TRY004 - one kind of error
    number = float(value)
    if not math.isfinite(number) or not number.is_integer() or not low <= number <= high:
        raise ValueError(f"{key}: {value} is not a whole number from {low} to {high}")
    return int(value)


mlflow.models.set_model(SamplingModel())
