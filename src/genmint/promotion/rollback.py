"""Rollback to an earlier champion in one step, with a reason."""

from __future__ import annotations

from genmint import tracking
from genmint.common.errors import GenmintError
from genmint.common.project import Project
from genmint.config import Gate, Params
from genmint.promotion.reconcile import settle_all
from genmint.registry.championship import Championship
from genmint.registry.journal_entries import RegistryState, line, rolled_back
from genmint.registry.registry import Registry
from genmint.registry.versions import Version


def rollback(
    project: Project, params: Params, name: str, reason: str, to: str | None = None
) -> str:
    """Make an earlier version champion again, and return a one-line summary.

    Promotion does not promote the replaced version again on its own: see `history.rolled_back`.

    Args:
        project: project of the registry.
        params: settings with the gate of the model.
        name: name of the model.
        reason: reason for the journal and the version's page.
        to: target version, which passed its gate or has a valid override. None: the last champion
            that exists, may still be champion and was not rolled back itself.

    Raises:
        GenmintError: there is no earlier champion, the version may not be champion, or another
            process moved the champion meanwhile. Nothing was changed.
        RegistryUnreachableError: the registry does not answer.
    """
    registry = Registry.existing(project)
    if registry is None:
        raise GenmintError(f"{name}: nothing is registered, so there is nothing to go back to")
    gate, championship = params.gates.get(name), Championship(registry)
    registry_state = settle_all(championship, gate, name)
    champion = (
        None if registry_state.champion is None else registry.get(name, registry_state.champion)
    )
    if to is None:
        target = _earlier(championship, gate, name, registry_state)
    else:
        target = _named(championship, gate, name, to)
    if champion is not None and target.version == champion.version:
        raise GenmintError(f"{name}: version {target.version} is champion already; nothing moved")
    left = "no champion" if champion is None else f"version {champion.version}"
    moved = championship.move_champion(
        name,
        target,
        gate,
        registry_state=registry_state,
        kind="rollback",
        reason=reason,
        user=tracking.user(),
        left=champion,
    )
    if not moved:
        raise GenmintError(
            f"{name}: another process moved the champion meanwhile, and nothing was changed. "
            f"See `genmint journal {name}`, then run it again."
        )
    return f"{name}: rolled back from {left} to version {target.version}: {reason}"


def _earlier(
    championship: Championship, gate: Gate | None, name: str, registry_state: RegistryState
) -> Version:
    champions = line(registry_state.written)
    if champions and champions[-1].version == registry_state.champion:
        champions.pop()
    passed_over = []
    for named in reversed(champions):
        if rolled_back(registry_state.written, named.weights) is not None:
            continue
        problem = championship.why_not(name, named, gate)
        version = championship.find_named(name, named)
        if problem is None and version is not None:
            return version
        passed_over.append(f"{named}: {problem}" if version is not None else str(problem))
    why = f" ({'; '.join(dict.fromkeys(passed_over))})" if passed_over else ""
    raise GenmintError(
        f"{name}: there is no earlier champion to go back to{why}. `genmint journal {name}` shows "
        f"who was champion; --to VERSION takes any version that passed its gate."
    )


def _named(championship: Championship, gate: Gate | None, name: str, to: str) -> Version:
    version = championship.registry.get(name, to)
    if version is None:
        numbers = (
            ", ".join(known.version for known in championship.registry.versions(name)) or "none"
        )
        raise GenmintError(f"{name}: there is no version {to}; there are: {numbers}")
    problem = championship.verdict(version)
    if problem is not None and championship.why_not(name, version.named, gate) is not None:
        raise GenmintError(
            f"{name}: version {to} may not be champion: {problem}. Choose another with --to."
        )
    return version
