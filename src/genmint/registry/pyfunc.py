"""MLflow pyfunc of a registered model: weights as safetensors, code as source, no pickle.

MLflow stores this file beside the weights and runs it to load the model ("models from code"). A
copy of the package lies in `code/`, so a version loads without a checkout.

A request is a table with one row per draw: `n` (number of samples, 1…1024), `seed` (the same seed
gives the same samples), and for texts and other streams `length` (symbols, optional). An RNN also
takes `temperature`, `top_k` and `top_p`, which replace its registered values, and for texts
`prompt`, with which every sample begins (all optional). A conditional model takes `label`, the
class of the samples (optional; all classes by default). The answer has one row per sample:
`request` (row number of the draw), `index` (number of the sample within it) and `sample`: C×H×W
levels 0…255 for images and spectrograms, 16-bit values for audio clips, a string for texts.

An optional column may be absent, or null or NaN in any row; the row then takes the default. An
invalid row rejects the whole request with status 400 and a message that names row and column. With
`instances`, MLflow builds the columns itself, so each row must have the same columns.

Under `mlflow models serve` four requests are processed at once; further requests get status 429 and
should be retried. A request is stopped with status 504 shortly before the time limit of MLflow's
server (`MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT`, 60 s).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import shutil
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.environment_variables import MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import AnyType

from genmint.common.errors import ConfigError
from genmint.common.files import scratch_dir
from genmint.common.layout import CONFIG, WEIGHTS
from genmint.common.reading import shortened
from genmint.data.views import tensors
from genmint.models.shared import store
from genmint.models.shared.conditioning import labels_of_class
from genmint.models.shared.family import SAMPLING_OPTIONS

_MAX_SAMPLES = 1024
_MAX_LENGTH = 100_000
_MAX_TOP_K = 1_000_000
# Limits over all rows: samples, and symbols of texts and other streams.
_MAX_DRAWN = 8192
_MAX_SYMBOLS = 1 << 22
_MAX_SEED = 2**63 - 1
_TEXT_LENGTH = 512
# Concurrent requests of a server; each uses all cores for a part of its time.
_AT_ONCE = 4
# Fraction of the server's time limit; the answer must arrive before the server gives up.
_SHARE_OF_TIME = 0.9
# Packages needed to load a model and to sample from it.
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "pydantic", "ruamel.yaml", "safetensors", "torch")
_PACKAGE = Path(__file__).resolve().parents[1]
# Parts of the package that a loaded model runs.
_CODE = ("__init__.py", "common", "config", "data", "models")


class _Limits:
    """Limits of a server: number of concurrent requests, and time per request.

    A thread keeps running after its request was answered with a timeout. Without limits, a few long
    requests would occupy all threads of the server. There are no limits outside a server.
    """

    def __init__(self) -> None:
        # MLflow sets this variable for the processes of its server.
        in_server = MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT.is_set()
        limit = float(MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT.get())
        self._seconds = limit * _SHARE_OF_TIME if in_server else math.inf
        self._free = threading.BoundedSemaphore(_AT_ONCE) if in_server else None
        self._mine = threading.local()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Reserve a slot for one request and start its time limit."""
        if self._free is not None and not self._free.acquire(blocking=False):
            raise MlflowException(
                f"{_AT_ONCE} requests are being drawn: try again", RESOURCE_EXHAUSTED
            )
        self._mine.end = time.monotonic() + self._seconds
        try:
            yield
        finally:
            self._mine.end = math.inf
            if self._free is not None:
                self._free.release()

    def check(self) -> None:
        """Raise if the time limit of this thread's request has passed."""
        if time.monotonic() > getattr(self._mine, "end", math.inf):
            raise MlflowException(
                f"it takes more than {self._seconds:.3g} seconds: ask for fewer samples, or for "
                "shorter ones",
                DEADLINE_EXCEEDED,
            )


class SamplingModel(PythonModel):  # type: ignore[misc]
    """Draws samples from the stored weights."""

    def load_context(self, context: Any) -> None:
        """Load weights and configuration; raise GenmintError if they are damaged."""
        self._model, _ = store.load(Path(context.artifacts["model"]))
        self._limits = _Limits()
        # Every family samples by calls of its module or of a child, per symbol or per block.
        for module in (self._model, *self._model.children()):
            module.register_forward_pre_hook(lambda *_: self._limits.check())

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Draw samples for each row of `model_input`, after checking all rows.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE (status 400): a number is missing, NaN, not
                whole or out of range; the model does not support what a row requests; or all rows
                together request too much. In a server also RESOURCE_EXHAUSTED (429): too many
                concurrent requests; DEADLINE_EXCEEDED (504): the time limit of the server has
                passed.
        """
        draws = []
        for number, request in enumerate(model_input.to_dict(orient="records")):
            try:
                draws.append(self._checked(request))
            except ConfigError as error:
                raise _refusal(f"row {number}: {error}") from None
        if sum(draw["n"] for draw in draws) > _MAX_DRAWN:
            raise _refusal(f"n: more than {_MAX_DRAWN} samples in one request; send several")
        if sum(draw["n"] * (draw["length"] or 0) for draw in draws) > _MAX_SYMBOLS:
            raise _refusal(
                f"length: more than {_MAX_SYMBOLS} symbols in one request (n × length over all "
                "rows); send several"
            )
        rows: list[dict[str, Any]] = []
        with self._limits.one():
            for number, draw in enumerate(draws):
                rows += self._draw(number, **draw)
        return pd.DataFrame(rows, columns=["request", "index", "sample"])

    def _checked(self, request: dict[Any, Any]) -> dict[str, Any]:
        """Return the checked arguments of one row: n, seed, length, labels and sampling options."""
        options = {str(key): value for key, value in request.items() if not _is_missing(value)}
        spec = self._model.spec
        n = _whole(options, "n", 1, _MAX_SAMPLES)
        checked: dict[str, Any] = {"n": n, "seed": _whole(options, "seed", 0, _MAX_SEED)}
        if spec.shape and "length" in options:
            raise ConfigError(f"length: {spec.dataset} has items of a fixed length; leave it out")
        options.setdefault("length", _TEXT_LENGTH)
        checked["length"] = None if spec.shape else _whole(options, "length", 1, _MAX_LENGTH)
        if "top_k" in options:
            options["top_k"] = _whole(options, "top_k", 1, _MAX_TOP_K)
        for key in ("prompt", "label"):
            if not isinstance(options.get(key, ""), str):
                raise ConfigError(
                    f"{key}: {shortened(options[key])} is not text; write it in quotes"
                )
        if len(options.get("prompt", "")) > _MAX_LENGTH:
            raise ConfigError(f"prompt: more than {_MAX_LENGTH} characters")
        limits = {key: options[key] for key in SAMPLING_OPTIONS if key in options}
        checked["labels"] = labels_of_class(self._model.classes, options.get("label"), n)
        return checked | self._model.sampling_arguments(n, limits)

    def _draw(self, number: int, **how: Any) -> list[dict[str, Any]]:
        spec = self._model.spec
        drawn = self._model.sample(how.pop("n"), **how)
        if "prompt" in how:
            drawn = torch.cat([how["prompt"], drawn], dim=1)
        shown = drawn if spec.view == "grid" else tensors.from_symbols(drawn, spec)
        samples = shown if isinstance(shown, list) else shown.tolist()
        return [{"request": number, "index": i, "sample": s} for i, s in enumerate(samples)]


def signature() -> ModelSignature:
    """Return the MLflow signature of requests and answers.

    Columns have any type. MLflow would reject an integer column with a missing value, and would
    accept 1.5, true and "12" as integers. `predict` checks the values.
    """
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(AnyType(), name, required=name in ("n", "seed"))
                for name in ("n", "seed", "length", *SAMPLING_OPTIONS, "label")
            ]
        ),
        outputs=Schema(
            [ColSpec("long", "request"), ColSpec("long", "index"), ColSpec(AnyType(), "sample")]
        ),
    )


def save(model_folder: Path, target: Path) -> None:
    """Write the MLflow model of a genmint model (model.safetensors, config.json) to `target`.

    `target` must not exist. Requirements are listed explicitly, because MLflow would run the model
    to infer them.
    """
    with scratch_dir() as scratch:
        code = scratch / "genmint"
        code.mkdir()
        for part in _CODE:
            source = _PACKAGE / part
            if source.is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "*.pyc", "templates")
                shutil.copytree(source, code / part, ignore=ignore)
            else:
                shutil.copy2(source, code / part)
        weights = scratch / "weights"
        weights.mkdir()
        for name in (WEIGHTS, CONFIG):
            shutil.copyfile(model_folder / name, weights / name)
        with warnings.catch_warnings():
            # MLflow warns about a missing input example, but would run the model for seconds on
            # one.
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
    # No index has a build such as "2.13.0+cpu"; only the public version can be installed.
    return f"{name}=={importlib.metadata.version(name).partition('+')[0]}"


def _is_missing(value: Any) -> bool:
    """Whether a table cell is missing: None, NaN or another null of pandas."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _whole(request: dict[Any, Any], key: str, low: int, high: int) -> int:
    if key not in request:
        raise ConfigError(f"{key}: is missing; give a whole number from {low} to {high}")
    value = request[key]
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ConfigError(f"{key}: {shortened(value)} is not a number")
    # The order matters: a float may be infinite, and an integer too large for a float.
    if not low <= value <= high or int(value) != value:
        raise ConfigError(f"{key}: {shortened(value)} is not a whole number from {low} to {high}")
    return int(value)


def _refusal(message: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(message)


mlflow.models.set_model(SamplingModel())
