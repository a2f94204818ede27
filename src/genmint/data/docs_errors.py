"""What Great Expectations only logs while it writes Data Docs, as an error."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

from genmint.errors import GenmintError

_LOGGER = "great_expectations.render.renderer.site_builder"


class _Caught(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        # It logs in the handler of the exception, whose traceback it puts into the text.
        self.errors.append(sys.exc_info()[1] or GenmintError(record.getMessage()))


@contextlib.contextmanager
def docs_errors() -> Iterator[None]:
    """Raise the first error that the renderer of Data Docs would log, pages left out, and go on.

    Raises:
        GenmintError: a page could not be written; what hindered it is the cause.
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
