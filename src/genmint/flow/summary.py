"""Summary of a flow as a Markdown page for Prefect."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from genmint.common.layout import SHEET
from genmint.common.markdown import escape_markdown, markdown_table
from genmint.common.project import Project
from genmint.flow.publish import Published
from genmint.flow.stage import StageOutcome

# Words for results of `genmint promote`, where a model is not named.
_OUTCOMES = {"refused": "failed its gate"}
# Prefect refuses an update of an artifact above 1,500,000 bytes, the text of the page included.
_PICTURES_BYTES = 1_000_000


@dataclass(frozen=True)
class ModelResult:
    """Result of one model.

    Attributes:
        name: name of the model.
        verdict: result of `genmint promote`; "failed" if a required stage failed.
        reason: explanation of the result.
        version: registry version, None if it was not registered.
        before: champion version before the flow; None if there was none.
        after: champion version after the flow; None if there is none.
    """

    name: str
    verdict: str
    reason: str
    version: str | None
    before: str | None
    after: str | None


@dataclass
class FlowResult:
    """Result of one flow.

    Attributes:
        commit: commit that the flow started from.
        outcomes: outcomes of the stages, in the order of completion.
        failures: message of each unit that failed, or was skipped because of another failure.
        where: worker on which a model was trained, by model.
        verdicts: results of the models.
        published: location of the results, None if there are none.
        notes: further information for the reader.
    """

    commit: str
    outcomes: list[StageOutcome] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)
    verdicts: list[ModelResult] = field(default_factory=list)
    published: Published | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def trained(self) -> list[str]:
        """Models that this run trained in any attempt, without those from the DVC cache."""
        return [
            outcome.stage.partition("@")[2]
            for outcome in self.outcomes
            if outcome.stage.startswith("train@") and outcome.result == "ran"
        ]

    def outcomes_of_models(self) -> dict[str, int]:
        """Return how many models have each outcome, such as {"promoted": 2, "failed its gate": 1}.

        Models that are champion as before have none.
        """
        words = [_OUTCOMES.get(each.verdict, each.verdict) for each in self.verdicts]
        return dict(Counter(word for word in words if word != "is champion"))

    def headline(self) -> str:
        """Return one line: outcomes of models, what was trained, what changed, what failed."""
        outcomes = ", ".join(f"{n} {outcome}" for outcome, n in self.outcomes_of_models().items())
        return "; ".join(part for part in (outcomes, self._changes()) if part)

    def _changes(self) -> str:
        moved = [each.name for each in self.verdicts if each.before != each.after]
        trained = self.trained
        parts = [f"trained {', '.join(trained)}"] if trained else []
        if not trained and not self.failures:
            parts.append("nothing changed, so nothing was trained")
        if moved:
            parts.append(f"new champion: {', '.join(moved)}")
        if self.failures:
            parts.append(f"failed: {', '.join(self.failures)}")
        return "; ".join(parts)


def flow_page(result: FlowResult, checkout: Project, tracker: str) -> str:
    """Return the summary page of a flow.

    Args:
        result: result of the flow.
        checkout: checkout with the samples of its models.
        tracker: address of MLflow; links are included only for a server.
    """
    where = result.published
    lines = [f"**{result.headline()}**", "", f"From commit `{result.commit[:12]}`"]
    if where is not None:
        pushed = f", pushed to {where.pushed}" if where.pushed else ""
        known = "" if where.new else " (identical to that of an earlier flow)"
        lines[-1] += f"; results on branch `{where.branch}`{pushed}{known}"
    lines += ["", *_failures(result.failures), *result.notes, ""]
    lines += _verdicts(result.verdicts, tracker)
    lines += _stages(result.outcomes, result.where)
    # The samples of trained models are new; those of the others may not fit.
    trained = result.trained
    names = sorted((each.name for each in result.verdicts), key=lambda name: name not in trained)
    lines += _pictures(checkout, names)
    return "\n".join(lines)


def _failures(failures: Mapping[str, str]) -> list[str]:
    return [
        f"- {name}: **failed**: {escape_markdown(message)}" for name, message in failures.items()
    ]


def _verdicts(verdicts: Sequence[ModelResult], tracker: str) -> list[str]:
    rows = []
    for each in verdicts:
        name = each.name
        if each.version is not None and tracker.startswith(("http://", "https://")):
            name = f"[{each.name}]({tracker}/#/models/{each.name}/versions/{each.version})"
        versions = (f"version {value}" if value else "none" for value in (each.before, each.after))
        rows.append((name, each.verdict, *versions, escape_markdown(each.reason)))
    columns = ("model", "verdict", "champion before", "champion now", "why")
    return [*markdown_table(columns, rows), ""]


def _stages(outcomes: Sequence[StageOutcome], where: Mapping[str, str]) -> list[str]:
    rows = []
    for each in outcomes:
        verb, _, name = each.stage.partition("@")
        place = where.get(name, "") if verb in ("train", "evaluate") else ""
        rows.append((each.stage, each.result, f"{each.seconds:.1f}", place))
    columns = ("stage", "what DVC did", "seconds", "where")
    return [*markdown_table(columns, rows, numbers=("seconds",)), ""]


def _pictures(checkout: Project, names: Sequence[str]) -> list[str]:
    """Return the sample sheets as inline images, since the checkout is removed after the flow.

    Those that do not fit into the page are named.
    """
    lines, free, left_out = [], _PICTURES_BYTES, []
    for name in names:
        sheet = checkout.samples(name) / SHEET
        if not sheet.is_file():
            continue
        data = base64.b64encode(sheet.read_bytes()).decode()
        if len(data) > free:
            left_out.append(name)
            continue
        free -= len(data)
        lines += [f"### {name}", "", f"![{name}](data:image/png;base64,{data})", ""]
    if left_out:
        lines += [
            f"The page has no room for the samples of {', '.join(left_out)}: they are in MLflow, "
            "at the run of each version.",
            "",
        ]
    return lines
