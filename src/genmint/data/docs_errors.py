"""Conversion of errors that Great Expectations only logs while it writes Data Docs."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

from genmint.common.errors import GenmintError

_LOGGER = "great_expectations.render.renderer.site_builder"


class _Caught(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        # The logging call is within the exception handler, so the exception is still available.
        self.errors.append(sys.exc_info()[1] or GenmintError(record.getMessage()))


@contextlib.contextmanager
def docs_errors() -> Iterator[None]:
    """Raise the first error that the Data Docs renderer logs instead of raising.

    Raises:
        GenmintError: a page could not be written; the original exception is its cause.
    """
    logger, caught = logging.getLogger(_LOGGER), _Caught()
    before = logger.propagate
    logger.addHandler(caught)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(caught)
        logger.propagate = before
    if caught.errors:
        first = caught.errors[0]
        raise GenmintError(
            f"Great Expectations could not write its Data Docs: {type(first).__name__}: {first}"
        ) from first
