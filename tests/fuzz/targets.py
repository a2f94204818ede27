"""The parsers that are fed with mutated files: seeds of each, and how it is called.

A target may raise what `ALLOWED` names, and nothing else.
"""

from pathlib import Path

from tests.fuzz.configurations import configurations
from tests.fuzz.items import items
from tests.fuzz.models import models
from tests.fuzz.records import records
from tests.fuzz.served import requests
from tests.fuzz.signed import journals, secrets
from tests.fuzz.target import Target

from genmint.common.errors import GenmintError
from genmint.data.ingestion.readers import UnreadableError

ALLOWED = (GenmintError, UnreadableError)


def targets(scratch: Path) -> list[Target]:
    """All of them; `scratch` is an empty folder."""
    return [
        *configurations(scratch / "configurations"),
        *items(scratch / "items"),
        *records(scratch / "records"),
        *models(scratch / "models"),
        *secrets(scratch / "secrets"),
        *journals(),
        *requests(scratch / "served"),
    ]
