"""A challenger against the champion: on the test split, and once more on the confirmation split.

A model that is trained every night has many chances to be lucky on the one test split. So who is
better there must be better on a split that is looked at only then; and what was found there is
kept with the version, since a second look at the same two models would wear that split out, too.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from genmint.catalogue import Direction, metric
from genmint.comparison import Comparison, Ruling, Scores, block_hash, compare, confirm
from genmint.config import ChampionRule, Params
from genmint.errors import GenmintError
from genmint.evidence import check_data
from genmint.files import scratch_dir
from genmint.gate_record import Record
from genmint.project import Project
from genmint.registered import Version
from genmint.registry import Registry
from genmint.scoring import (
    confirmation_scores,
    measured_scores,
    read_spread,
    recorded_scores,
)

# What was found on the confirmation split, by the weights of the champion.
CONFIRMATION_TAG = "genmint.confirmation"
# The latest comparison, for the version's description and for machines.
COMPARISON_TAG = "genmint.comparison"

_CONFIRMATIONS = TypeAdapter(dict[str, Comparison])


@dataclass(frozen=True)
class Challenger:
    """A model that is to be promoted, with all that was verified of it.

    Attributes:
        project: with the prepared data and the reference that it was measured on.
        files: a private copy of its own files (`snapshot.taken`).
        params: of the copied params.yaml.
        name: of the model.
        record: its gate record.
        scores: on the test split.
    """

    project: Project
    files: Project
    params: Params
    name: str
    record: Record
    scores: Scores

    @property
    def dataset(self) -> str:
        """Name of the data set that it is trained on."""
        return self.params.models[self.name].dataset


def hold(registry: Registry, challenger: Challenger, version: Version, champion: Version) -> Ruling:
    """Compare a registered challenger with the champion; write what the confirmation split said.

    Args:
        registry: that has both.
        challenger: the model.
        version: the challenger's.
        champion: the champion there is now.

    Raises:
        GenmintError: the champion cannot be measured as the challenger was, or the data are not
            those that the challenger was measured on.
        RegistryUnreachableError: the registry does not answer.
    """
    name, params, project = challenger.name, challenger.params, challenger.project
    rule = params.gates[name].champion
    confirmed = params.datasets[challenger.dataset].confirmation > 0
    with scratch_dir() as folder:
        weights, evaluation = registry.download(champion, folder)
        if not weights.is_dir():
            raise GenmintError(
                f"the champion, version {champion.version}, has no weights stored with it. "
                f"Run `genmint reconcile {name}`."
            )
        with _measurable(champion):
            metrics = (*rule.superior, *rule.non_inferior)
            scores = recorded_scores(name, weights, evaluation, metrics, challenger.scores.protocol)
            if scores is None:
                with _same_data(challenger):
                    scores = measured_scores(project, name, weights)
        block = block_hash(params.models[name])
        spread = read_spread(challenger.files, name)
        test = compare(rule, _direction, challenger.scores, scores, spread, block)
        confirmation = None
        if test.better and confirmed:
            # As it is now: an attempt of this very promotion may have written it.
            kept = _kept(registry.get(name, version.version) or version)
            confirmation = kept.get(champion.weights)
            if confirmation is None:
                with _measurable(champion), _same_data(challenger):
                    confirmation = _confirm(challenger, rule, weights)
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


@contextlib.contextmanager
def _same_data(challenger: Challenger) -> Iterator[None]:
    """Measure on the challenger's own data; what was changed before or meanwhile is refused."""
    where = (challenger.project, challenger.files, challenger.name, challenger.dataset)
    check_data(*where)
    yield
    check_data(*where)


def _confirm(challenger: Challenger, rule: ChampionRule, weights: Path) -> Comparison:
    name, found = challenger.name, []
    for folder in (challenger.files.model(name), weights):
        scores = confirmation_scores(challenger.project, name, folder, rule.superior)
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
