"""Signature of a version, which covers every file that is stored with it.

The tag `genmint.signature` holds the hash of each part and is signed with the project's key. A
version that others register or change through the tracker has no valid signature and does not
count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from genmint.common.files import sha256_file, sha256_folder, sha256_json
from genmint.common.layout import CONFIG, EVALUATION, WEIGHTS
from genmint.common.project_key import SigningKey
from genmint.common.tags import SIGNATURE_TAG

# MLflow adds this file to a version when somebody loads it.
_META = "registered_model_meta"
# Folder of a version's weights, below its source.
STORED_WEIGHTS = "artifacts/weights"

_WHAT = "version"


@dataclass(frozen=True)
class Signed:
    """Hashes (sha256, 64 hex digits) of the files stored with a version.

    Attributes:
        weights: hash of model.safetensors.
        config: hash of config.json, with vocabulary and classes.
        code: hash of everything else that MLflow loads the model with; "" if it was stored
            unsigned, so that its original state is unknown.
        grounds: hash of the gate's inputs (see
            `promotion.version_info.gate_inputs`).
        folder: folder of the evaluation files. A new measurement or gate decision gets another
            folder, so the earlier one stays intact until the signature names the new one.
        evaluation: hashes of the evaluation files, by their path in a project.
    """

    weights: str
    config: str
    code: str
    # Stored and signed under this name, so it cannot be renamed.
    grounds: str
    folder: str
    evaluation: dict[str, str]

    @classmethod
    def of(cls, packed: Path, evaluation: Mapping[str, Path], gate_inputs: str) -> Self:
        """Hash the files of a version before they are stored.

        Args:
            packed: folder of the MLflow model.
            evaluation: files by their path in a project.
            gate_inputs: hash of the gate's inputs.
        """
        weights = packed / STORED_WEIGHTS
        return cls(
            weights=sha256_file(weights / WEIGHTS),
            config=sha256_file(weights / CONFIG),
            code=code_of(packed),
            grounds=gate_inputs,
            folder=EVALUATION,
            evaluation=hashes_of(evaluation),
        )

    def with_evaluation(self, evaluation: Mapping[str, Path], gate_inputs: str) -> Self:
        """Return the same model with a new evaluation; `self` if the evaluation is unchanged."""
        hashes = hashes_of(evaluation)
        if (hashes, gate_inputs) == (self.evaluation, self.grounds):
            return self
        folder = f"{EVALUATION}-{sha256_json(hashes)[:8]}"
        return replace(self, grounds=gate_inputs, folder=folder, evaluation=hashes)

    def tag(self, key: SigningKey, name: str) -> str:
        """Sign the hashes for a version of the model `name`, and return the tag value."""
        parts = asdict(self)
        return json.dumps({**parts, "signature": key.sign(_WHAT, {"name": name, **parts})})


class _StoredSignature(BaseModel):
    """Content of the tag, as written by `Signed.tag`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    weights: str
    config: str
    code: str
    grounds: str
    folder: str
    evaluation: dict[str, str]
    signature: str


def read(tags: Mapping[str, str]) -> tuple[Signed, str] | None:
    """Read hashes and signature from a version's tags; None if there is no valid tag."""
    try:
        stored = _StoredSignature.model_validate_json(tags.get(SIGNATURE_TAG, ""))
    except ValidationError:
        return None
    parts = stored.model_dump(exclude={"signature"})
    return Signed(**parts), stored.signature


def folder_of(tags: Mapping[str, str]) -> str:
    """Return the folder of a version's evaluation files, from its tags."""
    signed = read(tags)
    return EVALUATION if signed is None else signed[0].folder


def current_evaluation(folder: str) -> str:
    """Return the content of the file that tells a served model its current evaluation files.

    A served model sees its files, but not its tags. The content follows from the signed folder, so
    that the signature covers the file.
    """
    return json.dumps({"folder": folder}) + "\n"


def hashes_of(evaluation: Mapping[str, Path]) -> dict[str, str]:
    """Hash the evaluation files, by their path in a project."""
    return {name: sha256_file(path) for name, path in evaluation.items()}


def signature_problem(
    key: SigningKey, name: str, weights: str, tags: Mapping[str, str]
) -> str | None:
    """Return why a version does not carry the project's signature, None if it does.

    Args:
        key: signing key of the project.
        name: name of the model.
        weights: sha256 that identifies the version.
        tags: tags of the version.
    """
    stored = read(tags)
    if stored is None:
        return "it is not signed" if SIGNATURE_TAG not in tags else "its signature is damaged"
    signed, signature = stored
    wrong = key.problem(_WHAT, {"name": name, **asdict(signed)}, signature)
    if wrong is None and signed.weights != weights:
        wrong = "its signature is that of other weights"
    return wrong


def other_model(signed: Signed, folder: Path) -> str | None:
    """Return which part of a model is not the signed one, None if all match.

    Args:
        signed: signed hashes of the version.
        folder: folder with all files of the version.
    """
    weights = folder / STORED_WEIGHTS
    problem = _other({weights / WEIGHTS: signed.weights, weights / CONFIG: signed.config})
    if problem is None and signed.code and code_of(folder) != signed.code:
        return "the code stored with it is not the one that was registered"
    return problem


def other_evaluation(signed: Signed, folder: Path) -> str | None:
    """Return which evaluation file is not the signed one, None if all match.

    Args:
        signed: signed hashes of the version.
        folder: folder with the files, laid out as in a project.
    """
    return _other({folder / name: digest for name, digest in signed.evaluation.items()})


def _other(expected: Mapping[Path, str]) -> str | None:
    for path, digest in expected.items():
        if not path.is_file():
            return f"its {path.name} is gone"
        if sha256_file(path) != digest:
            return f"its {path.name} is not the one that was registered"
    return None


def code_of(folder: Path) -> str:
    """Return the hash of a stored MLflow model without its weights and evaluation files."""
    weights = (f"{STORED_WEIGHTS}/{WEIGHTS}", f"{STORED_WEIGHTS}/{CONFIG}")
    evaluations = [path.name for path in folder.iterdir() if path.name.startswith(EVALUATION)]
    return sha256_folder(folder, (*evaluations, *weights, _META))
