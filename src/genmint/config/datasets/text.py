"""Data sets of texts."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from genmint.config.base import PositiveInt
from genmint.config.datasets.base import DatasetBase


class TextDataset(DatasetBase):
    """Texts: token ids of characters, with a vocabulary taken from the training split."""

    kind: Literal["text"] = Field(
        description="Kind of the items: text means UTF-8 files ending in txt or md."
    )
    min_count: PositiveInt = Field(
        1,
        description="Occurrences in the training split that a character needs to be in the "
        "vocabulary. Rarer characters become <unk>.",
    )
