"""Requests to a served model."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from tests.fuzz.models import write_text_model
from tests.fuzz.target import Target, json_bytes

import genmint
from genmint.registry import pyfunc


def requests(folder: Path) -> list[Target]:
    """Bodies of requests to `mlflow models serve`."""
    return [Target("requests", _requests(), _server(folder), 8)]


def _requests() -> list[bytes]:
    row = {"n": 1, "seed": 3, "length": 7, "prompt": "ab", "temperature": 0.5, "top_k": 2,
           "top_p": 0.9, "label": None}  # fmt: skip
    columns = {key: [value] for key, value in row.items()}
    return [
        json_bytes({"dataframe_records": [row, {"n": 2, "seed": 0}]}),
        json_bytes({"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}),
        json_bytes({"inputs": columns}),
        json_bytes({"inputs": [row]}),
        json_bytes({"instances": [row]}),
    ]


def _server(folder: Path) -> Callable[[bytes], object]:
    """What `mlflow models serve` does with the body of a request."""
    write_text_model(folder)
    pyfunc.save(folder, folder / "model")
    model = mlflow.pyfunc.load_model(str(folder / "model"))
    code = sys.modules[type(model.unwrap_python_model()).__module__]
    # More is work, and no fault: a request that draws as much as it may takes minutes.
    code._MAX_SYMBOLS = 5_000
    schema = model.metadata.get_input_schema()
    ours = (Path(genmint.__file__).parent, folder)

    def call(data: bytes) -> None:
        try:
            answer = scoring_server.invocations(data, "application/json", model, schema)
        except MlflowException as error:
            if error.get_http_status_code() != 400 or "unexpected error" in error.message:
                raise
        except Exception as error:
            # MLflow answers 500 to some bodies that it cannot parse, before any model sees them.
            frames = traceback.extract_tb(error.__traceback__)
            if any(Path(frame.filename).is_relative_to(root) for frame in frames for root in ours):
                raise
        else:
            assert answer.status == 200

    return call
