"""Retry of MLflow writes that conflict with concurrent writes."""

from __future__ import annotations

from collections.abc import Callable

from mlflow.exceptions import MlflowException

# MLflow's error code, locally and over HTTP, if the database rejects a statement.
_REFUSED = "BAD_REQUEST"
_TRIES = 4


def put(write: Callable[..., object], *arguments: object) -> None:
    """Set or delete an alias, a tag or a similar row, despite concurrent writers.

    MLflow checks whether a row exists and then inserts, updates or deletes it. If two clients do so
    at once, the database rejects one of them (seen on PostgreSQL and SQLite). A retry sees the
    result of the other write.

    Raises:
        MlflowException: the write is rejected repeatedly, or failed for another reason.
    """
    for _ in range(_TRIES - 1):
        try:
            write(*arguments)
        except MlflowException as error:
            if error.error_code != _REFUSED:
                raise
        else:
            return
    write(*arguments)
