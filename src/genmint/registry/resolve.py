"""Resolution of `NAME@ALIAS` or `NAME/NUMBER` to a registered version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from genmint.common.errors import GenmintError
from genmint.common.files import sha256_file
from genmint.common.layout import CONFIG, WEIGHTS
from genmint.common.project import RELATIVE, Project
from genmint.registry.journal import CHAMPION
from genmint.registry.model_ref import ModelRef
from genmint.registry.refusal import refuse_failed
from genmint.registry.registry import Registry
from genmint.registry.versions import Version
from genmint.stages.gate import read_record

# Largest number of a version that the databases of MLflow can hold; a query of another one fails.
_LAST = 2**31 - 1


def champion(project: Project, name: str) -> Version | None:
    """Return the champion of a model, None if there is none; creates no store.

    Raises:
        RegistryUnreachableError: the registry does not answer, which is different from None.
    """
    registry = Registry.existing(project)
    number = None if registry is None else registry.aliases(name).get(CHAMPION)
    return None if registry is None or number is None else registry.get(name, number)


def resolve_version(
    project: Project, name: str, *, alias: str | None = None, version: str | None = None
) -> tuple[Registry, Version]:
    """Return the version for an alias or a number, and the registry that has it.

    Raises:
        GenmintError: there is no such alias or version.
        RegistryUnreachableError: the registry does not answer.
    """
    wanted = f"{name}@{alias}" if version is None else f"{name}/{version}"
    way_out = f"Run `genmint promote {name}`, or `genmint status` to see what there is."
    registry = Registry.existing(project)
    if registry is None:
        raise GenmintError(f"{wanted}: nothing is registered yet. {way_out}")
    number = version if version is not None else registry.aliases(name).get(str(alias))
    if number is not None and int(number) > _LAST:
        raise GenmintError(f"{wanted}: there is no such version. {way_out}")
    resolved = None if number is None else registry.get(name, number)
    if resolved is None and number is not None and version is None:
        raise GenmintError(
            f"{wanted}: the alias points to version {number}, which does not exist. "
            f"Run `genmint reconcile {name}`."
        )
    if resolved is None:
        raise GenmintError(f"{wanted}: there is no such version. {way_out}")
    return registry, resolved


@dataclass(frozen=True)
class Downloaded:
    """A version whose files were copied and verified.

    Attributes:
        registry: registry that has it.
        version: the version.
        weights: folder with model.safetensors and config.json.
        evaluation: its evaluation files, laid out as in a project.
    """

    registry: Registry
    version: Version
    weights: Path
    evaluation: Project


def download(
    project: Project,
    name: str,
    target: Path,
    *,
    alias: str | None = None,
    version: str | None = None,
    allow_refused: bool = False,
) -> Path:
    """Copy a registered model into `target`; return the folder for `models.shared.store.load`.

    Raises:
        GenmintError, RegistryUnreachableError: as `download_version`.
    """
    wanted = ModelRef(name, alias, version)
    return download_version(project, wanted, target, allow_refused=allow_refused).weights


def download_version(
    project: Project, wanted: ModelRef, target: Path, *, allow_refused: bool = False
) -> Downloaded:
    """Copy the files of a registered version into `target`.

    Args:
        project: project of the registry.
        wanted: reference with an alias or a version number.
        target: target folder.
        allow_refused: print a warning instead of refusing a version whose gate failed.

    Raises:
        GenmintError: there is no such alias or version, it is not a genmint model, or its files are
            not those that were registered; or its gate failed and `allow_refused` is false.
        RegistryUnreachableError: the registry does not answer.
    """
    name, alias = wanted.name, wanted.alias
    registry, version = resolve_version(project, name, alias=alias, version=wanted.version)
    folder, stored = registry.download(version, target)
    evaluation = Project(stored)
    for file, expected in _registered_as(version, evaluation).items():
        path = folder / file
        if not path.is_file() or sha256_file(path) != expected:
            problem = "is not the one that was registered" if path.is_file() else "is gone"
            raise GenmintError(
                f"{name}/{version.version}: its {file} {problem}. "
                f"Run `genmint reconcile {name}` and `genmint lineage {name}/{version.version}`."
            )
    refuse_failed(registry, version, evaluation, alias=alias, allow_refused=allow_refused)
    return Downloaded(registry, version, folder, evaluation)


def _registered_as(version: Version, evaluation: Project) -> dict[str, str]:
    """Return the sha256 of the model's files, as far as version and gate record give them."""
    known = {WEIGHTS: version.weights} if version.weights else {}
    if evaluation.gate_record(version.name).is_file():
        gated = read_record(evaluation, version.name).hashes()
        config = gated.get((RELATIVE.model(version.name) / CONFIG).as_posix())
        known |= {CONFIG: config} if config else {}
    return known
