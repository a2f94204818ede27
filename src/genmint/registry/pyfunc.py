"""MLflow pyfunc of a registered model: weights as safetensors, code as source, no pickle.

MLflow stores this file beside the weights and runs it to load the model ("models from code"). A
copy of the package lies in `code/`, so a version loads without a checkout.

A request is a table with one row per draw. All columns are optional: `n` (number of samples,
1…1024; default 1) and `seed` (the same seed gives the same samples; random by default). For texts
and other streams `length` (symbols). An RNN also takes `temperature`, `top_k` and `top_p`, which
replace its registered values, and for texts `prompt`, with which every sample begins. A conditional
model takes `label`, the class of the samples (all classes by default). The answer has one row per
sample: `request` (row number of the draw), `index` (number of the sample within it) and `sample`:
C×H×W levels 0…255 for images and spectrograms, 16-bit values for audio clips, a string for texts.

A column may be absent, or null or NaN in any row; the row then takes the default. A table without
columns is one draw with all defaults. An invalid row or an unknown column rejects the whole request
with status 400 and a message that names row and column. With `instances`, MLflow builds the columns
itself, so each row must have the same columns.

A version whose gate failed is not loaded, unless GENMINT_ALLOW_REFUSED=1 is set. The gate record is
among the evaluation files that are stored with the version.

Under `mlflow models serve` four requests are processed at once; further requests get status 429 and
should be retried. A request is stopped with status 504 shortly before the time limit of MLflow's
server (`MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT`, 60 s).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import os
import secrets
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.environment_variables import MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import AnyType

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.files import read_json, scratch_dir
from genmint.common.gate_verdict import failures, is_dry_run, not_admitted
from genmint.common.layout import CONFIG, CURRENT_EVALUATION, EVALUATION, WEIGHTS
from genmint.common.project import RELATIVE
from genmint.common.reading import shortened
from genmint.models.shared import store
from genmint.models.shared.family import SAMPLING_OPTIONS
from genmint.models.shared.record import ModelRecord, load_record
from genmint.serving.draws import draw, draw_arguments
from genmint.serving.scoring_server import (
    dropped_columns,
    note_dropped_columns,
    refuse_in_sentences,
)

_COLUMNS = ("n", "seed", "length", *SAMPLING_OPTIONS, "label")
_MAX_SAMPLES = 1024
_MAX_LENGTH = 100_000
_MAX_TOP_K = 1_000_000
# Limits over all rows: samples, and symbols of texts and other streams with their prompts.
_MAX_DRAWN = 8192
_MAX_SYMBOLS = 1 << 22
# The same for values of items of a fixed length: pixels and audio samples.
_MAX_VALUES = 1 << 25
_MAX_SEED = 2**63 - 1
# Concurrent requests of a server; each uses all cores for a part of its time.
_AT_ONCE = 4
# Fraction of the server's time limit; the answer must arrive before the server gives up.
_SHARE_OF_TIME = 0.9
# Variable with which a version is loaded although its gate failed.
_ALLOW_REFUSED = "GENMINT_ALLOW_REFUSED"
# Packages needed to load a model and to sample from it.
_REQUIREMENTS = ("mlflow", "numpy", "pandas", "pydantic", "ruamel.yaml", "safetensors", "torch")
_PACKAGE = Path(__file__).resolve().parents[1]
# Parts of the package that a loaded model runs.
_CODE = ("__init__.py", "common", "config", "data", "models", "serving")


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


@dataclass(frozen=True)
class _Row:
    """A row of a request, checked: number of samples, seed, arguments of `draw`, symbols each."""

    n: int
    seed: int
    arguments: dict[str, Any]
    symbols: int


class SamplingModel(PythonModel):  # type: ignore[misc]
    """Draws samples from the stored weights."""

    def load_context(self, context: Any) -> None:
        """Load weights and configuration.

        Raises:
            GenmintError: they are damaged, or the gate of the version failed.
        """
        weights = Path(context.artifacts["model"])
        _refuse_failed(weights.parents[1], load_record(weights))
        self._model, _ = store.load(weights)
        self._limits = _Limits()
        note_dropped_columns()
        refuse_in_sentences()
        # Every family samples by calls of its module or of a child, per symbol or per block.
        for module in (self._model, *self._model.children()):
            module.register_forward_pre_hook(lambda *_: self._limits.check())

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Draw samples for each row of `model_input`, after checking all rows.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE (status 400): a number is not whole or out of
                range; a column is unknown; the model does not support what a row requests; or all
                rows together request too much. In a server also RESOURCE_EXHAUSTED (429): too many
                concurrent requests; DEADLINE_EXCEEDED (504): the time limit of the server has
                passed.
        """
        unknown = dropped_columns() or [c for c in model_input.columns if c not in _COLUMNS]
        if unknown:
            raise _refusal(
                f"{', '.join(sorted(map(shortened, unknown)))}: no such column; known are "
                f"{', '.join(_COLUMNS)}"
            )
        draws = []
        requests = model_input.to_dict(orient="records")
        # MLflow removes the rows of a table without columns.
        for number, request in enumerate(requests if len(model_input.columns) else [{}]):
            try:
                draws.append(self._checked(request))
            except ConfigError as error:
                raise _refusal(f"row {number}: {error}") from None
        self._refuse_too_much(draws)
        rows: list[dict[str, Any]] = []
        with self._limits.one():
            for number, row in enumerate(draws):
                samples = draw(self._model, row.n, seed=row.seed, arguments=row.arguments)
                listed = samples if isinstance(samples, list) else samples.tolist()
                rows += [{"request": number, "index": i, "sample": s} for i, s in enumerate(listed)]
        return pd.DataFrame(rows, columns=["request", "index", "sample"])

    def _refuse_too_much(self, draws: list[_Row]) -> None:
        if sum(row.n for row in draws) > _MAX_DRAWN:
            raise _refusal(f"n: more than {_MAX_DRAWN} samples in one request; send several")
        if sum(row.n * row.symbols for row in draws) > _MAX_SYMBOLS:
            raise _refusal(
                f"length: more than {_MAX_SYMBOLS} symbols in one request (n × length, with the "
                "prompt, over all rows); send several"
            )
        values = math.prod(self._model.spec.shape)
        if sum(row.n for row in draws) * values > _MAX_VALUES:
            raise _refusal(
                f"n: more than {_MAX_VALUES // values} samples of {values} values each in one "
                "request; send several"
            )

    def _checked(self, request: dict[Any, Any]) -> _Row:
        """Return one row as the checked arguments of a draw."""
        options = {str(key): value for key, value in request.items() if not _is_missing(value)}
        options.setdefault("n", 1)
        options.setdefault("seed", secrets.randbelow(_MAX_SEED))
        n = _whole(options, "n", 1, _MAX_SAMPLES)
        seed = _whole(options, "seed", 0, _MAX_SEED)
        length = _whole(options, "length", 1, _MAX_LENGTH) if "length" in options else None
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
        label = options.get("label")
        arguments = draw_arguments(self._model, n, length=length, label=label, options=limits)
        symbols = (arguments["length"] or 0) + len(options.get("prompt", ""))
        return _Row(n, seed, arguments, symbols)


def signature() -> ModelSignature:
    """Return the MLflow signature of requests and answers.

    Columns have any type. MLflow would reject an integer column with a missing value, and would
    accept 1.5, true and "12" as integers. `predict` checks the values.
    """
    return ModelSignature(
        inputs=Schema([ColSpec(AnyType(), name, required=False) for name in _COLUMNS]),
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


def _refuse_failed(stored: Path, record: ModelRecord) -> None:
    """Refuse a version whose gate failed; say so on stderr if it is loaded all the same.

    Args:
        stored: folder of the stored MLflow model with its evaluation files; without any, it was
            not registered, and nothing was decided.
        record: record of the model.

    Raises:
        GenmintError: the stored gate record says that the gate failed, or is missing.
    """
    folder = stored / _current_evaluation(stored)
    named = f"{record.name}, weights {record.weights[:12]}"
    if not folder.is_dir() and not (stored / CURRENT_EVALUATION).exists():
        _report(f"{named}: no evaluation is stored with it, so it was never gated")
        return
    path = folder / RELATIVE.gate_record(record.name)
    try:
        content = read_json(path, "")
    except GenmintError:
        content = None
    gate = content if isinstance(content, dict) else {}
    reason = not_admitted(gate) if gate else "it has no gate record"
    if reason is None:
        return
    failed = failures(gate)
    problem = f"{named}: {reason} ({failed})" if failed else f"{named}: {reason}"
    if not is_dry_run(gate) and os.environ.get(_ALLOW_REFUSED) != "1":
        raise GenmintError(
            f"{problem}, and is not loaded. Use another version; `genmint reconcile {record.name}` "
            "reverts an alias that was moved here by hand. To load this version all the same, set "
            f"{_ALLOW_REFUSED}=1."
        )
    _report(problem)


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - the user must see it


def _current_evaluation(stored: Path) -> str:
    """Return the name of the folder with the current evaluation files of a stored model."""
    try:
        current = read_json(stored / CURRENT_EVALUATION, "")
    except GenmintError:
        return EVALUATION
    return Path(str(current.get("folder"))).name if isinstance(current, dict) else EVALUATION


def _is_missing(value: Any) -> bool:
    """Whether a table cell is missing: None, NaN or another null of pandas."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _whole(request: dict[Any, Any], key: str, low: int, high: int) -> int:
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
