"""Base class and types of the settings in params.yaml and of the records in JSON."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from genmint.common.errors import GenmintError

# DVC ignores these keys in the key of its run-cache, at any depth of a parameter. After a change of
# their value it would restore the outputs of the earlier value (treeverse/dvc#10296).
HIDDEN_FROM_DVC = frozenset({"size", "nfiles"})


def _seen_by_dvc(name: str) -> str:
    if name in HIDDEN_FROM_DVC:
        raise ValueError(
            f"the name {name!r} cannot be used: DVC's run-cache ignores keys called size or "
            "nfiles, so changes would re-run nothing"
        )
    return name


# Kind of the items of a data set.
Kind = Literal["image", "audio", "text"]

PositiveInt = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
# A key of a map that a user chooses.
Key = Annotated[str, AfterValidator(_seen_by_dvc)]


class Frozen(BaseModel):
    """Settings or a record: immutable, and unknown keys are refused.

    Types are strict: a string is never converted to a number. NaN and infinity are refused.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        protected_namespaces=(),
    )


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Return the key of the first error, its parts joined by dots, and what is wrong with it."""
    first = error.errors(include_url=False)[0]
    return ".".join(str(part) for part in first["loc"]), first["msg"]


M = TypeVar("M", bound=Frozen)


def from_json(
    model: type[M],
    content: Any,
    path: Path,
    way_out: str,
    error: type[GenmintError] = GenmintError,
) -> M:
    """Return the validated content of a JSON file that genmint wrote.

    Args:
        model: model of the content.
        content: content as parsed.
        path: path of the file, for the message.
        way_out: remedy for an invalid file, as a sentence for the message.
        error: class of the error to raise.

    Raises:
        GenmintError: a key is missing, unknown or out of range; the message names it.
    """
    try:
        return model.model_validate_json(json.dumps(content))
    except ValidationError as failure:
        key, problem = first_problem(failure)
        raise error(f"{path}: {key}: {problem}. {way_out}") from None
