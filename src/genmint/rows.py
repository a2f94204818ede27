"""Writing a row of MLflow's that others may write at the same moment."""

from __future__ import annotations

from collections.abc import Callable

from mlflow.exceptions import MlflowException

# What MLflow says, locally and over HTTP, when the database refused a statement.
_REFUSED = "BAD_REQUEST"
_TRIES = 4


def put(write: Callable[..., object], *arguments: object) -> None:
    """Set or delete an alias, a tag or the like, though others set or delete it meanwhile.

    MLflow looks whether a row is there and then inserts, updates or deletes it; where two do so at
    once, the database refuses one of them (seen on PostgreSQL and SQLite). The next try sees what
    the other one did.

    Raises:
        MlflowException: it is refused time and again, or anything else went wrong.
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
