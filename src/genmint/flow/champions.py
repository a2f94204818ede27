"""Champions and promotion results of the models, for the summary page of a flow."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

from genmint.common.errors import TemporaryError
from genmint.common.project import Project
from genmint.flow.stage import ProcessGroup, Say, StageError, run
from genmint.flow.summary import ModelResult


def champions(project: Project, names: Sequence[str]) -> dict[str, str | None]:
    """Return the champion version by model; None if there is none.

    Raises:
        RegistryUnreachableError: the registry does not answer, which is different from None.
    """
    from genmint.registry.resolve import champion

    versions = {name: champion(project, name) for name in names}
    return {
        name: None if version is None else version.version for name, version in versions.items()
    }


def refusals(project: Project, name: str) -> int:
    """Return how many versions of the model its gate has refused in a row, up to the latest.

    Raises:
        RegistryUnreachableError: the registry does not answer.
    """
    from genmint.promotion.version_info import refusals_in_a_row
    from genmint.registry.registry import Registry

    registry = Registry.existing(project)
    return 0 if registry is None else refusals_in_a_row(registry.versions(name))


def tracker(project: Project) -> str:
    """Return the address of MLflow, for links."""
    from genmint import tracking

    return tracking.uri(project)


def promote(
    checkout: Project,
    names: Sequence[str],
    before: Mapping[str, str | None],
    process_group: ProcessGroup,
    say: Say,
) -> list[ModelResult]:
    """Run `genmint promote` with the checkout's code; return the result of each model.

    Raises:
        StageError: promotion failed; nothing was written for models that it did not report.
    """
    if not names:
        return []
    document: list[str] = []

    def tell(line: str) -> None:
        # A revision from before --json was indented prints it in one line.
        begins = line == "[" or line.startswith("[{")
        (document.append if document or begins else say)(line)

    command = [sys.executable, "-m", "genmint", "promote", "--json", *names]
    done = run(checkout, command, process_group=process_group, say=tell)
    if not document:
        kinds, message = done.failure or ((), f"exit code {done.code}: {done.lines[-1:]}")
        is_transient = TemporaryError.__name__ in kinds
        raise StageError("promote", message, is_transient=is_transient, kinds=kinds)
    after = champions(checkout, names)
    return [
        ModelResult(
            name=each["name"],
            verdict=each["verdict"],
            reason=each["reason"],
            version=each["version"],
            before=before[each["name"]],
            after=after[each["name"]],
        )
        for each in json.loads("\n".join(document))
    ]
