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

An optional column may be absent, or null or NaN in any row: the row then takes the default. What is
refused is refused as a whole, with status 400 and a message that names row and column. With
`instances`, MLflow takes columns apart by itself: there each row names the same columns.

Under `mlflow models serve` four requests are drawn at once, and the next one is answered with
status 429: try again. A request is given up shortly before the time limit of MLflow's server
(`MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT`, 60 s), with status 504, and computes nothing more.
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

from genmint.data import views
from genmint.errors import ConfigError
from genmint.files import scratch_dir
from genmint.models import store
from genmint.models.conditioning import asked_for
from genmint.models.record import CONFIG, WEIGHTS
from genmint.models.rnn import drawing
from genmint.reading import shortened

_MAX_SAMPLES = 1024
_MAX_LENGTH = 100_000
_MAX_TOP_K = 1_000_000
# Of all rows together: samples, and symbols of texts and other streams.
_MAX_DRAWN = 8192
_MAX_SYMBOLS = 1 << 22
_MAX_SEED = 2**63 - 1
_TEXT_LENGTH = 512
# Requests that a server draws at once; each takes all cores for a part of the time.
_AT_ONCE = 4
# Of the time that the server waits: the answer must arrive before it gives up.
_SHARE_OF_TIME = 0.9
# What the copied package needs to load a model and to sample from it; mlflow adds itself.
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "pydantic", "ruamel.yaml", "safetensors", "torch")
_PACKAGE = Path(__file__).resolve().parent
# The parts of the package that a loaded model runs.
_CODE = (
    *("__init__.py", "catalogue.py", "errors.py", "escaping.py", "exhaustion.py", "files.py"),
    *("reading", "config", "data", "models"),
)


class _Limits:
    """What a server grants: so many requests at once, and so much time for each.

    A thread goes on after its request was answered with a time-out, so without limits a few long
    requests take all threads of the server. Where there is no server, there are no limits.
    """

    def __init__(self) -> None:
        # MLflow sets it for the processes of its server.
        in_server = MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT.is_set()
        limit = float(MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT.get())
        self._seconds = limit * _SHARE_OF_TIME if in_server else math.inf
        self._free = threading.BoundedSemaphore(_AT_ONCE) if in_server else None
        self._mine = threading.local()

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place for one request, whose time begins now."""
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
        """Raise if the time of this thread's request is over."""
        if time.monotonic() > getattr(self._mine, "end", math.inf):
            raise MlflowException(
                f"it takes more than {self._seconds:.3g} seconds: ask for fewer samples, or for "
                "shorter ones",
                DEADLINE_EXCEEDED,
            )


class SamplingModel(PythonModel):  # type: ignore[misc]
    """Draws samples from the weights it was stored with."""

    def load_context(self, context: Any) -> None:
        """Load weights and configuration; raises GenmintError if they are damaged."""
        self._model, _ = store.load(Path(context.artifacts["model"]))
        self._limits = _Limits()
        # Every family draws by calls of itself or of a part: of each symbol, or of each block.
        for module in (self._model, *self._model.children()):
            module.register_forward_pre_hook(lambda *_: self._limits.check())

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Draw as each row of `model_input` asks; nothing is drawn before all rows were checked.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE (status 400): a number is missing, NaN, not
                whole, or out of range, the model does not know what a row asks for, or all rows
                together ask for too much. In a server also RESOURCE_EXHAUSTED (429): too many
                requests at once; DEADLINE_EXCEEDED (504): it takes longer than the server waits.
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
        """What one row asks for: n, seed, length, labels, and what else `sample` takes."""
        said = {str(key): value for key, value in request.items() if not _is_missing(value)}
        spec = self._model.spec
        n = _whole(said, "n", 1, _MAX_SAMPLES)
        checked: dict[str, Any] = {"n": n, "seed": _whole(said, "seed", 0, _MAX_SEED)}
        if spec.shape and "length" in said:
            raise ConfigError(f"length: {spec.dataset} has items of a fixed length; leave it out")
        said.setdefault("length", _TEXT_LENGTH)
        checked["length"] = None if spec.shape else _whole(said, "length", 1, _MAX_LENGTH)
        if "top_k" in said:
            said["top_k"] = _whole(said, "top_k", 1, _MAX_TOP_K)
        for key in ("prompt", "label"):
            if not isinstance(said.get(key, ""), str):
                raise ConfigError(f"{key}: {shortened(said[key])} is not text; write it in quotes")
        if len(said.get("prompt", "")) > _MAX_LENGTH:
            raise ConfigError(f"prompt: more than {_MAX_LENGTH} characters")
        limits = {key: said[key] for key in drawing.SAID if key in said}
        checked["labels"] = asked_for(self._model.classes, said.get("label"), n)
        return checked | drawing.asked(spec, n, limits)

    def _draw(self, number: int, **how: Any) -> list[dict[str, Any]]:
        spec = self._model.spec
        drawn = self._model.sample(how.pop("n"), **how)
        if "prompt" in how:
            drawn = torch.cat([how["prompt"], drawn], dim=1)
        shown = drawn if spec.view == "grid" else views.from_symbols(drawn, spec)
        samples = shown if isinstance(shown, list) else shown.tolist()
        return [{"request": number, "index": i, "sample": s} for i, s in enumerate(samples)]


def signature() -> ModelSignature:
    """Say what a request and an answer look like.

    Columns are of any type, since MLflow would refuse a column of whole numbers with one of them
    missing, and take 1.5, true and "12" for whole numbers; `predict` checks them.
    """
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(AnyType(), name, required=name in ("n", "seed"))
                for name in ("n", "seed", "length", *drawing.SAID, "label")
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
    with scratch_dir() as scratch:
        code = scratch / "genmint"
        code.mkdir()
        for part in _CODE:
            source = _PACKAGE / part
            if source.is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(source, code / part, ignore=ignore)
            else:
                shutil.copy2(source, code / part)
        weights = scratch / "weights"
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
    """Whether a table's cell was left out: it is then None, NaN or another of pandas' nulls."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _whole(request: dict[Any, Any], key: str, low: int, high: int) -> int:
    if key not in request:
        raise ConfigError(f"{key}: is missing; give a whole number from {low} to {high}")
    value = request[key]
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ConfigError(f"{key}: {shortened(value)} is not a number")
    # In this order: a float may be infinite, and a whole number too large for a float.
    if not low <= value <= high or int(value) != value:
        raise ConfigError(f"{key}: {shortened(value)} is not a whole number from {low} to {high}")
    return int(value)


def _refusal(message: str) -> MlflowException:
    return MlflowException.invalid_parameter_value(message)


mlflow.models.set_model(SamplingModel())
