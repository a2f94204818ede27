"""Corrections of MLflow's scoring server, which a served model makes when it is loaded.

MLflow drops columns that it does not know and only logs them, answers status 500 to some bodies
that it cannot parse, and sends tracebacks of the server to the client.
"""

from __future__ import annotations

import ast
import functools
import logging
import re
import sys
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.pyfunc.context import get_prediction_context

# Where MLflow logs the columns that it drops, and the attribute of a request that keeps them.
_LOGGER = logging.getLogger("mlflow.models.utils")
_DROPPED = re.compile(r"Found extra inputs .*`(\[.*\])`")
_ERRORS = logging.getLogger(__name__)
_NOTE = "genmint_dropped_columns"
# Module of the server; loaded before the model in a server, and not at all elsewhere.
_SERVER = "mlflow.pyfunc.scoring_server"
_CORRECTED = "genmint_corrected"
# MLflow's messages: what comes before that of the model, and what is added about the body.
_FAILED, _PREDICTED = "Failed to predict data ", "\nError: "
_ADDITIONS = ("\nInput: ", ". IMPORTANT: ")
_LONGEST = 1000
_FORMS = "dataframe_records, dataframe_split, inputs or instances"


class _DroppedColumns(logging.Filter):
    """Notes with a request which of its columns MLflow drops.

    MLflow drops what the signature does not name, before the model sees the table, and only logs a
    warning. Then a mistyped `sed` for `seed` would count as no seed.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Note the columns that a record names; every record passes."""
        match = _DROPPED.search(record.getMessage())
        request = get_prediction_context()
        if match is not None and request is not None:
            setattr(request, _NOTE, list(ast.literal_eval(match[1])))
        return True


def note_dropped_columns() -> None:
    """Make `dropped_columns` work in this process."""
    # A process may load several models, each with its own copy of this module.
    if not any(type(each).__name__ == _DroppedColumns.__name__ for each in _LOGGER.filters):
        _LOGGER.addFilter(_DroppedColumns())
    if not _LOGGER.isEnabledFor(logging.WARNING):
        _LOGGER.setLevel(logging.WARNING)


def dropped_columns() -> list[Any]:
    """Return the columns that MLflow dropped from the request of this thread."""
    request = get_prediction_context()
    columns: list[Any] = getattr(request, _NOTE, [])
    if columns:
        delattr(request, _NOTE)
    return columns


def refuse_in_sentences() -> None:
    """Let the server of this process answer 400, in one sentence, to all that it cannot draw.

    MLflow's answers are shortened: they repeat the body, and some have a traceback. It does nothing
    outside MLflow's server.
    """
    server: Any = sys.modules.get(_SERVER)
    if server is None or hasattr(server.invocations, _CORRECTED):
        return
    answer = server.invocations

    @functools.wraps(answer)
    def invocations(data: Any, content_type: str | None, model: Any, input_schema: Any) -> Any:
        # MLflow derives types of CSV columns from the signature, whose columns have any type.
        schema = None if str(content_type).startswith("text/csv") else input_schema
        try:
            return answer(data, content_type or "none", model, schema)
        except MlflowException as error:
            trace = error.json_kwargs.pop("stack_trace", None)
            if trace is not None:
                _ERRORS.exception("status %s: %s", error.get_http_status_code(), trace)
            error.message = _sentence(str(error.message))
            raise
        except Exception as error:  # noqa: BLE001 - any that MLflow raises while it parses
            # MLflow gives its own exception to whatever fails after parsing.
            _ERRORS.exception("a request that MLflow cannot parse")
            raise MlflowException.invalid_parameter_value(
                f"the body is not a table of draws ({type(error).__name__}: {error}); send JSON "
                f"with one of {_FORMS}"
            ) from None

    setattr(invocations, _CORRECTED, True)
    server.invocations = invocations


def _sentence(message: str) -> str:
    """Return a message of MLflow as one line, without the body of the request."""
    rest = message.rpartition(_PREDICTED)[2] if message.startswith(_FAILED) else message
    for addition in _ADDITIONS:
        rest = rest.partition(addition)[0]
    line = " ".join(rest.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
