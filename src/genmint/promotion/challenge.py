"""Comparison of a challenger with the champion on the test and the confirmation split.

A model that is trained every night gets many chances to be better on the test split by luck. A
model that is better there must therefore also be better on the confirmation split, which is used
for no other purpose. The result is stored with the version, because repeated comparisons of the
same two models would overuse that split too.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from genmint.common.errors import GenmintError, MismatchError
from genmint.common.files import scratch_dir
from genmint.common.project import Project
from genmint.common.project_key import SigningKey
from genmint.common.tags import COMPARISON_TAG, CONFIRMATION_TAG
from genmint.config import ChampionRule, Params
from genmint.config.metric_catalogue import Direction, metric
from genmint.decision.comparison import (
    ChampionComparison,
    Comparison,
    Scores,
    block_hash,
    compare,
    confirm,
)
from genmint.decision.evaluation import Evaluation
from genmint.decision.gate_record import Record
from genmint.evaluation.recorded import read_evaluation
from genmint.models.shared.record import load_record
from genmint.promotion.evidence import check_data
from genmint.promotion.held_out import Comparable, comparable
from genmint.promotion.scores import (
    champion_scores,
    confirmation_scores,
    measured_scores,
    read_spread,
)
from genmint.registry.registry import Registry
from genmint.registry.versions import Version

_COMPARISONS = TypeAdapter(dict[str, Comparison])


class _Kept(BaseModel):
    """Content of the tag `CONFIRMATION_TAG`, as written by `_keep`."""

    model_config = ConfigDict(extra="forbid")

    # The tag has this key, so its name cannot change.
    found: dict[str, Comparison]
    signature: str


@dataclass(frozen=True)
class Challenger:
    """A model to be promoted whose files have been verified.

    Attributes:
        project: project with the prepared data and the reference that the model was measured on.
        files: private copy of the model's files (`snapshot.taken`).
        params: settings from the copied params.yaml.
        evaluation: evaluation of the model, as verified.
        record: gate record of the model.
        scores: scores on the test split.
    """

    project: Project
    files: Project
    params: Params
    evaluation: Evaluation
    record: Record
    scores: Scores

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.evaluation.name

    @property
    def dataset(self) -> str:
        """Name of the data set that the model was trained on."""
        return self.evaluation.dataset


def compare_versions(
    registry: Registry, challenger: Challenger, version: Version, champion: Version
) -> ChampionComparison:
    """Compare a registered challenger with the champion and store the confirmation result.

    Args:
        registry: registry that holds both versions.
        challenger: the model.
        version: version of the challenger.
        champion: version of the current champion.

    Raises:
        NotComparableError: the champion cannot be measured on the challenger's data.
        GenmintError: the champion's files are damaged, or the data differ from the data that the
            challenger was measured on.
        RegistryUnreachableError: the registry does not answer.
    """
    name, params = challenger.name, challenger.params
    rule = params.gates[name].champion
    confirmed = params.datasets[challenger.dataset].confirmation > 0
    with scratch_dir() as folder:
        with _measurable(champion):
            weights, evaluation = registry.download(champion, folder)
        if not weights.is_dir():
            raise GenmintError(
                f"the champion, version {champion.version}, has no weights stored with it. "
                f"Run `genmint reconcile {name}`."
            )
        with _measurable(champion):
            where, scores = _scores(challenger, rule, weights, evaluation, folder)
        block = block_hash(params.models[name])
        spread = read_spread(challenger.files, name)
        test = compare(rule, _direction, *scores, spread, block)
        confirmation = None
        if test.better and confirmed:
            # Read the tag again: an earlier attempt of this promotion may have written it.
            kept = _kept(registry, registry.get(name, version.version) or version)
            confirmation = kept.get(champion.weights)
            if confirmation is None:
                with _measurable(champion), _same_data(challenger):
                    confirmation = _confirm(challenger, where.project, rule, weights)
                _keep(registry, version, {**kept, champion.weights: confirmation})
    left_out = "; ".join(where.left_out.values())
    return ChampionComparison(
        champion=champion.version, test=test, confirmation=confirmation, left_out=left_out
    )


def _scores(
    challenger: Challenger, rule: ChampionRule, weights: Path, evaluation: Path, folder: Path
) -> tuple[Comparable, tuple[Scores, Scores]]:
    """Return the data for the comparison and the scores of both models on its test split.

    Args:
        challenger: the model.
        rule: champion rule with the metrics to compare.
        weights: folder of the champion's model.
        evaluation: folder of the evaluation files stored with the champion.
        folder: folder for temporary data of the comparison.
    """
    name, project = challenger.name, challenger.project
    metrics = (*rule.superior, *rule.non_inferior)
    protocol = challenger.scores.protocol
    stored = read_evaluation(Project(evaluation), name, challenger.dataset, weights)
    scores = champion_scores(stored, metrics, protocol)
    if scores is not None:
        return Comparable(project), (challenger.scores, scores)
    with _same_data(challenger):
        record = load_record(weights)
        by_class = record.model.conditional and challenger.scores.items
        classes = (record.data.labels or ()) if by_class else None
        where = comparable(project, record, evaluation, folder, classes)
        scores = measured_scores(where.project, name, weights)
        if not where.left_out:
            return where, (challenger.scores, scores)
        own = measured_scores(where.project, name, challenger.files.model(name))
        return where, (own, scores)


class NotComparableError(GenmintError):
    """The champion cannot be measured on the challenger's data, so there is no comparison."""


@contextlib.contextmanager
def _measurable(champion: Version) -> Iterator[None]:
    try:
        yield
    except MismatchError as error:
        raise NotComparableError(
            f"the champion, version {champion.version}, cannot be compared with it: {error} Look "
            "at both in MLflow; if the new one is to be champion, move the alias there "
            "(docs/registry.md)"
        ) from None
    except GenmintError as error:
        raise GenmintError(
            f"the champion, version {champion.version}, cannot be evaluated like the new one: "
            f"{error}"
        ) from None


def latest_comparison(version: Version | None) -> ChampionComparison | None:
    """Return the latest comparison of a version; None if there is none."""
    text = None if version is None else version.tags.get(COMPARISON_TAG)
    if text is None:
        return None
    try:
        return ChampionComparison.model_validate_json(text)
    except ValidationError:
        # Another genmint version or a person wrote the tag; the next comparison replaces it.
        return None


def _direction(name: str) -> Direction:
    return metric(name).direction


@contextlib.contextmanager
def _same_data(challenger: Challenger) -> Iterator[None]:
    """Check the challenger's data before and after a measurement; raise if they changed."""
    where = (challenger.project, challenger.files, challenger.evaluation)
    check_data(*where)
    yield
    check_data(*where)


def _confirm(
    challenger: Challenger, project: Project, rule: ChampionRule, weights: Path
) -> Comparison:
    name, measured = challenger.name, []
    for folder in (challenger.files.model(name), weights):
        scores = confirmation_scores(project, name, folder, rule.superior)
        if scores is None:
            raise GenmintError(
                f"the confirmation split is empty. Run `dvc repro gate@{name}` to prepare it."
            )
        measured.append(scores)
    return confirm(rule, _direction, *measured)


def _keep(registry: Registry, version: Version, comparisons: Mapping[str, Comparison]) -> None:
    assert registry.key is not None, "register() refuses without it"
    signature = registry.key.sign("confirmation", _content(version, comparisons))
    kept = _Kept(found=dict(comparisons), signature=signature)
    registry.tag(version, CONFIRMATION_TAG, json.dumps(kept.model_dump(mode="json")))


def resign_confirmation(registry: Registry, version: Version) -> None:
    """Sign the stored confirmation results of a version with the current key."""
    text = version.tags.get(CONFIRMATION_TAG)
    if text is not None:
        # The tag is signed with an earlier key, or unsigned if it predates signatures.
        with contextlib.suppress(ValidationError):
            _keep(registry, version, _Kept.model_validate_json(text).found)
            return
        with contextlib.suppress(ValidationError):
            _keep(registry, version, _COMPARISONS.validate_json(text))


def _content(version: Version, comparisons: Mapping[str, Comparison]) -> dict[str, Any]:
    content = {
        weights: comparison.model_dump(mode="json") for weights, comparison in comparisons.items()
    }
    return {"name": version.name, "weights": version.weights, "found": content}


def _kept(registry: Registry, version: Version) -> dict[str, Comparison]:
    """Return the confirmation results of a version, keyed by the champion's weights hash.

    Raises:
        GenmintError: the tag was modified.
    """
    text = version.tags.get(CONFIRMATION_TAG)
    if text is None:
        return {}
    assert registry.key is not None, "register() refuses without it"
    stored = _signed(registry.key, version, text)
    if stored is None:
        raise GenmintError(
            f"the tag {CONFIRMATION_TAG} of version {version.version} of {version.name} was not "
            "written by genmint with the current key. Delete it; the next comparison replaces it."
        )
    return stored


def _signed(key: SigningKey, version: Version, text: str) -> dict[str, Comparison] | None:
    """Return the content of a tag; None if its signature does not match this version."""
    try:
        kept = _Kept.model_validate_json(text)
    except ValidationError:
        return None
    problem = key.problem("confirmation", _content(version, kept.found), kept.signature)
    return kept.found if problem is None else None
