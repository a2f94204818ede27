"""The settings that data sets of every kind share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from genmint.common.escaping import printable
from genmint.config.base import Frozen, Share
from genmint.config.datasets.protocol import OWN, Protocol, ReferenceConfig

# The feature extractor (evaluation/extractor.py) halves height and width three times.
SMALLEST_SIDE = 8

_SPLIT = re.compile(r"official|position|position:file|hash|group:[A-Za-z_][A-Za-z0-9_]*")


class DatasetBase(Frozen):
    """The keys that images, audio and text share."""

    path: Annotated[str, Field(min_length=1, max_length=4096)] = Field(
        description="Where the data are: a file in data/sources that describes a built-in or "
        "named set, or your folder, preferably data/own/NAME. "
        "A relative path is relative to params.yaml and must stay inside the repository. "
        "An absolute path may lead anywhere; ~/… and ../… are refused. "
        "DVC watches the path: when files are added or removed, `dvc repro` re-runs only the "
        "affected stages. See docs/data.md.",
    )
    follow_links: bool = Field(
        False,
        description="Whether links to files outside the folder are read. "
        "With false, such links are quarantined. "
        "Links into DVC's cache are always read, links to folders never.",
    )
    split: str = Field(
        "hash",
        description="Rule that assigns each item to a split: hash, group:COLUMN, official, "
        "position or position:file. "
        "hash: by content, so the same item is always in the same split. "
        "group:COLUMN: all items of one speaker or patient are in one split; COLUMN is a named "
        "group of filename_pattern. "
        "official: as published with the set, or by a group (?P<split>train|test) of "
        "filename_pattern. "
        "position: in the order of the paths, the first part is validation and the last part is "
        "test; a text or recording is cut where a border falls. "
        "position:file: the same within each file, for some long texts or recordings (with "
        "windows: all). "
        "Near-duplicates always stay in one split.",
    )
    validation: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.1,
        description="Share of the items in the validation split (position: share of the "
        "characters). "
        "Training uses this split to select the best weights.",
    )
    test: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.1,
        description="Share of the items in the test split (position: share of the characters). "
        "Every metric of the model is measured on it.",
    )
    confirmation: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.05,
        description="Share of the items in the confirmation split, a second test split (position: "
        "share of the characters). "
        "It is used only when a challenger is better than the champion on the test split. "
        "With 0 there is none, and promotions are not confirmed. "
        "Changing it moves items only between this split and training.",
    )
    max_quarantined: Share = Field(
        0.02,
        description="Share of the items that may be quarantined before the pipeline stops. "
        "Raise it only after reading the reasons in data/quarantine/NAME.csv.",
    )
    near_duplicates: Annotated[float, Field(ge=0.5, le=1.0)] | None = Field(
        None,
        description="Similarity (no unit) at which two items are near-duplicates, which stay in "
        "one split. "
        "null means 0.995 for images of 16×16 pixels or more, 0.999 for audio and 0.8 for text. "
        "1 means exact copies only; use it for sets whose different items look alike. "
        "See docs/data.md for measurements.",
    )
    max_near_duplicates: Share = Field(
        0.1,
        description="Share of the items that may be near-duplicates of other items in the set "
        "before the pipeline stops. "
        "Several takes of one scene, or frames of a film, make every metric look too good.",
    )
    labels: Literal["none", "source", "folder", "filename"] = Field(
        "none",
        description="Where the labels come from. "
        "source: the set provides them. folder: the name of the sub-folder. "
        "filename: the group label of filename_pattern. "
        "none: the feature extractor learns from rotation or time order instead, and metrics that "
        "need classes are left out.",
    )
    filename_pattern: Annotated[str, Field(max_length=1000)] | None = Field(
        None,
        description="Regular expression with named groups that reads columns from file names. "
        "It must match the whole name without its ending, or the whole path if it has a slash. "
        "The group label is required by labels: filename. "
        "Every group becomes a column of the manifest. "
        "At most 1,000 characters.",
    )
    reference: ReferenceConfig = Field(
        ReferenceConfig(),
        description="Training of the frozen feature extractor behind the Fréchet and kernel "
        "distances.",
    )
    protocol: Protocol = Field(
        Protocol(),
        description="How models are measured. "
        "Changing it measures every model of the data set again.",
    )

    @field_validator("path")
    @classmethod
    def _means_the_same_to_dvc(cls, value: str) -> str:
        """Reject paths that DVC would read differently, because it takes a path literally."""
        if printable(value) != value or "\n" in value or "\t" in value:
            raise ValueError("holds control characters or bytes that are not UTF-8")
        if value.startswith("~"):
            raise ValueError(
                f"DVC does not know ~ for a home folder: write the absolute path{_expanded(value)}"
            )
        if "://" in value:
            raise ValueError(
                "is an address: bring the data here, for instance by `dvc import-url`, and name "
                "the folder"
            )
        # Limit of file systems; beyond it even a check for existence raises an error.
        if any(len(part.encode()) > 255 for part in value.split("/")):
            raise ValueError("no name of a file or folder is longer than 255 bytes")
        return value

    @field_validator("split")
    @classmethod
    def _known_split(cls, value: str) -> str:
        if not _SPLIT.fullmatch(value):
            raise ValueError("use hash, group:COLUMN, official, position or position:file")
        return value

    @field_validator("filename_pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                groups = re.compile(value).groupindex
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"not a regular expression: {error}") from None
            if not groups:
                raise ValueError("give it named groups, such as (?P<label>[0-9])")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.validation + self.test + self.confirmation >= 1.0:
            raise ValueError(
                "validation, test and confirmation together must be below 1: no items are left to "
                "train on"
            )
        if self.reference.extractor != OWN and getattr(self, "kind", None) != "image":
            raise ValueError(f"reference.extractor: named extractors are of images: use {OWN}")
        if self.labels == "filename" and (
            self.filename_pattern is None
            or "label" not in re.compile(self.filename_pattern).groupindex
        ):
            raise ValueError("labels: filename needs a filename_pattern with a group (?P<label>…)")
        return self

    @property
    def group_column(self) -> str | None:
        """Manifest column whose values stay in one split, if any."""
        return self.split.removeprefix("group:") if self.split.startswith("group:") else None


def _expanded(path: str) -> str:
    try:
        return f" ({Path(path).expanduser()})"
    except RuntimeError:  # there is no such user
        return ""
