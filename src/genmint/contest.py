"""A challenger against the champion: on the test split, and once more on the confirmation split.

A model that is trained every night has many chances to be lucky on the one test split. So who is
better there must be better on a split that is looked at only then; and what was found there is
kept with the version, since a second look at the same two models would wear that split out, too.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from genmint.catalogue import Direction, metric
from genmint.comparison import Comparison, Ruling, Scores, block_hash, compare, confirm
from genmint.config import ChampionRule, Params
from genmint.errors import GenmintError
from genmint.files import scratch_dir
from genmint.project import Project
from genmint.registered import Version
from genmint.registry import Registry
from genmint.scoring import champion_scores, confirmation_scores, read_spread

# What was found on the confirmation split, by the weights of the champion.
CONFIRMATION_TAG = "genmint.confirmation"
# The latest comparison, for the version's description and for machines.
COMPARISON_TAG = "genmint.comparison"

_CONFIRMATIONS = TypeAdapter(dict[str, Comparison])


def hold(
    registry: Registry,
    project: Project,
    params: Params,
    version: Version,
    champion: Version,
    challenger: Scores,
) -> Ruling:
    """Compare a registered challenger with the champion; write what the confirmation split said.

    Args:
        registry: that has both.
        project: with the challenger's files, its data and reference.
        params: with its block and its gate.
        version: the challenger.
        champion: the champion there is now.
        challenger: its scores on the test split.

    Raises:
        GenmintError: the champion cannot be measured as the challenger was.
        RegistryUnreachableError: the registry does not answer.
    """
    name = champion.name
    rule = params.gates[name].champion
    confirmed = params.datasets[params.models[name].dataset].confirmation > 0
    with scratch_dir() as folder:
        weights, evaluation = registry.download(champion, folder)
        if not weights.is_dir():
            raise GenmintError(
                f"the champion, version {champion.version}, has no weights stored with it. "
                f"Run `genmint reconcile {name}`."
            )
        with _measurable(champion):
            metrics = (*rule.superior, *rule.non_inferior)
            protocol = challenger.protocol
            scores = champion_scores(project, name, weights, evaluation, metrics, protocol)
        block = block_hash(params.models[name])
        test = compare(rule, _direction, challenger, scores, read_spread(project, name), block)
        confirmation = None
        if test.better and confirmed:
            # As it is now: an attempt of this very promotion may have written it.
            kept = _kept(registry.get(name, version.version) or version)
            confirmation = kept.get(champion.weights)
            if confirmation is None:
                with _measurable(champion):
                    confirmation = _confirm(project, name, rule, weights)
                _keep(registry, version, {**kept, champion.weights: confirmation})
    return Ruling(champion=champion.version, test=test, confirmation=confirmation)


@contextlib.contextmanager
def _measurable(champion: Version) -> Iterator[None]:
    try:
        yield
    except GenmintError as error:
        raise GenmintError(
            f"the champion, version {champion.version}, cannot be measured as the new one was: "
            f"{error} docs/registry.md says how to do without the comparison."
        ) from None


def ruling_of(version: Version | None) -> Ruling | None:
    """The latest comparison that a version was in, None if there was none."""
    said = None if version is None else version.tags.get(COMPARISON_TAG)
    if said is None:
        return None
    try:
        return Ruling.model_validate_json(said)
    except ValidationError:
        # Written by another version, or by hand: the next comparison writes it anew.
        return None


def _direction(name: str) -> Direction:
    return metric(name).direction


def _confirm(project: Project, name: str, rule: ChampionRule, weights: Path) -> Comparison:
    found = []
    for folder in (project.model(name), weights):
        scores = confirmation_scores(project, name, folder, rule.superior)
        if scores is None:
            raise GenmintError(
                f"the confirmation split is empty. Run `dvc repro gate@{name}` to prepare it."
            )
        found.append(scores)
    return confirm(rule, _direction, *found)


def _keep(registry: Registry, version: Version, found: Mapping[str, Comparison]) -> None:
    said = {weights: comparison.model_dump(mode="json") for weights, comparison in found.items()}
    registry.tag(version, CONFIRMATION_TAG, json.dumps(said, sort_keys=True))


def _kept(version: Version) -> dict[str, Comparison]:
    """What the confirmation split said of a version, by the weights of the champion it met.

    Raises:
        GenmintError: somebody changed the tag.
    """
    said = version.tags.get(CONFIRMATION_TAG, "{}")
    try:
        return _CONFIRMATIONS.validate_json(said)
    except ValidationError:
        raise GenmintError(
            f"the tag {CONFIRMATION_TAG} of version {version.version} of {version.name} is not "
            "what genmint wrote. Delete it, and the comparison is made anew."
        ) from None
