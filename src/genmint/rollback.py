"""Going back to an earlier champion, in one step and with a reason."""

from __future__ import annotations

import sys

from genmint import tracking
from genmint.config import Params
from genmint.errors import GenmintError
from genmint.history import line, rolled_back
from genmint.journal import Standing
from genmint.project import Project
from genmint.reconcile import settle_by_hand, why_not
from genmint.registry import Registry, Version

_ATTEMPTS = 50


def rollback(
    project: Project, params: Params, name: str, reason: str, to: str | None = None
) -> str:
    """Make an earlier version champion again, and say so in one line.

    The version that it leaves is not promoted again by itself: see `history.rolled_back`.

    Args:
        project: whose registry it is.
        params: with the gate of the model.
        name: of the model.
        reason: for the journal and the version's page.
        to: version to go to: one that was champion or passed its gate. None: one step back, to the
            last champion that exists and was not rolled back itself.

    Raises:
        GenmintError: there is nothing to go back to, the version may not be champion, or somebody
            else moved the champion meanwhile. Nothing was changed.
        RegistryUnreachableError: the registry does not answer.
    """
    registry = Registry.existing(project)
    if registry is None:
        raise GenmintError(f"{name}: nothing is registered, so there is nothing to go back to")
    standing = _stand(registry, params, name)
    champion = None if standing.champion is None else registry.get(name, standing.champion)
    target = (
        _earlier(registry, name, standing) if to is None else _named(registry, name, standing, to)
    )
    if champion is not None and target.version == champion.version:
        raise GenmintError(f"{name}: version {target.version} is champion already; nothing moved")
    left = "no champion" if champion is None else f"version {champion.version}"
    moved = registry.move_champion(
        name,
        target,
        standing=standing,
        kind="rollback",
        reason=reason,
        user=tracking.user(),
        left=champion,
    )
    if not moved:
        raise GenmintError(
            f"{name}: somebody else moved the champion meanwhile, and nothing was changed. "
            f"Look at `genmint journal {name}`, then run it again."
        )
    return f"{name}: rolled back from {left} to version {target.version}: {reason}"


def _stand(registry: Registry, params: Params, name: str) -> Standing:
    """Tell who is champion, after what a person did by hand was honoured or put back."""
    for _ in range(_ATTEMPTS):
        standing = registry.stand(name)
        if not standing.by_hand and not standing.previous_by_hand:
            return standing
        settled = settle_by_hand(registry, params.gates.get(name), name, standing)
        if settled is not None:
            print(settled, file=sys.stderr, flush=True)  # noqa: T201 - the user must see it
    raise GenmintError(f"{name}: its aliases are being moved without end. Run it again.")


def _earlier(registry: Registry, name: str, standing: Standing) -> Version:
    champions = line(standing.written)
    if champions and champions[-1] == standing.champion:
        champions.pop()
    for number in reversed(champions):
        version = registry.get(name, number)
        if version is not None and rolled_back(standing.written, version.weights) is None:
            return version
    raise GenmintError(
        f"{name}: there is no earlier champion to go back to. `genmint journal {name}` shows who "
        f"was champion; --to VERSION takes any version that passed its gate."
    )


def _named(registry: Registry, name: str, standing: Standing, to: str) -> Version:
    version = registry.get(name, to)
    if version is None:
        numbers = ", ".join(known.version for known in registry.versions(name)) or "none"
        raise GenmintError(f"{name}: there is no version {to}; there are: {numbers}")
    was_champion = any(entry.valid and entry.version == to for entry in standing.written)
    problem = None if was_champion else why_not(registry, version)
    if problem is not None:
        raise GenmintError(
            f"{name}: version {to} was never champion, and {problem}. Choose another with --to."
        )
    return version
