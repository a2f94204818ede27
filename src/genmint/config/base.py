"""What every block of params.yaml and every record of ours shares."""

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from genmint.errors import GenmintError

# DVC leaves these keys out of the key of its run-cache, at any depth of a parameter: a change of
# their value would restore the outputs of the value before (treeverse/dvc#10296).
HIDDEN_FROM_DVC = frozenset({"size", "nfiles"})


def _seen_by_dvc(name: str) -> str:
    if name in HIDDEN_FROM_DVC:
        raise ValueError(
            f"the name {name!r} cannot be used: DVC's run-cache ignores keys called size or "
            "nfiles, so changes would re-run nothing"
        )
    return name


PositiveInt = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
# A key of a map that a user chooses.
Key = Annotated[str, AfterValidator(_seen_by_dvc)]


class Frozen(BaseModel):
    """A block that cannot change after it was read and has no key that we do not know.

    Strict: a string is never taken for a number. NaN and infinity are refused.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        protected_namespaces=(),
    )


M = TypeVar("M", bound=Frozen)


def from_json(
    model: type[M],
    content: Any,
    path: Path,
    way_out: str,
    error: type[GenmintError] = GenmintError,
) -> M:
    """What a JSON file of ours holds, as its model.

    Args:
        model: of the file's content.
        content: as it was read.
        path: of the file, for the message.
        way_out: what to do when it does not hold, as a sentence.
        error: what is raised then.

    Raises:
        GenmintError: a key is missing, unknown or out of range; the message names it.
    """
    try:
        return model.model_validate_json(json.dumps(content))
    except ValidationError as failure:
        first = failure.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise error(f"{path}: {key}: {first['msg']}. {way_out}") from None
