"""Going back to an earlier champion, in one step and with a reason."""

from __future__ import annotations

from genmint import tracking
from genmint.config import Gate, Params
from genmint.errors import GenmintError
from genmint.history import Standing, line, rolled_back
from genmint.project import Project
from genmint.reconcile import settle_all
from genmint.registered import Version
from genmint.registry import Registry


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
        to: version to go to: one that passed its gate, or whose override policy allows. None: one
            step back, to the last champion that exists, may still be champion and was not rolled
            back itself.

    Raises:
        GenmintError: there is nothing to go back to, the version may not be champion, or somebody
            else moved the champion meanwhile. Nothing was changed.
        RegistryUnreachableError: the registry does not answer.
    """
    registry = Registry.existing(project)
    if registry is None:
        raise GenmintError(f"{name}: nothing is registered, so there is nothing to go back to")
    gate = params.gates.get(name)
    standing = settle_all(registry, gate, name)
    champion = None if standing.champion is None else registry.get(name, standing.champion)
    if to is None:
        target = _earlier(registry, gate, name, standing)
    else:
        target = _named(registry, gate, name, to)
    if champion is not None and target.version == champion.version:
        raise GenmintError(f"{name}: version {target.version} is champion already; nothing moved")
    left = "no champion" if champion is None else f"version {champion.version}"
    moved = registry.move_champion(
        name,
        target,
        gate,
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


def _earlier(registry: Registry, gate: Gate | None, name: str, standing: Standing) -> Version:
    champions = line(standing.written)
    if champions and champions[-1].version == standing.champion:
        champions.pop()
    passed_over = []
    for named in reversed(champions):
        if rolled_back(standing.written, named.weights) is not None:
            continue
        problem = registry.why_not(name, named, gate)
        version = registry.find_named(name, named)
        if problem is None and version is not None:
            return version
        passed_over.append(f"{named}: {problem}" if version is not None else str(problem))
    why = f" ({'; '.join(dict.fromkeys(passed_over))})" if passed_over else ""
    raise GenmintError(
        f"{name}: there is no earlier champion to go back to{why}. `genmint journal {name}` shows "
        f"who was champion; --to VERSION takes any version that passed its gate."
    )


def _named(registry: Registry, gate: Gate | None, name: str, to: str) -> Version:
    version = registry.get(name, to)
    if version is None:
        numbers = ", ".join(known.version for known in registry.versions(name)) or "none"
        raise GenmintError(f"{name}: there is no version {to}; there are: {numbers}")
    problem = registry.verdict(version)
    if problem is not None and registry.why_not(name, version.named, gate) is not None:
        raise GenmintError(
            f"{name}: version {to} may not be champion: {problem}. Choose another with --to."
        )
    return version
