"""Summary of a flow as a Markdown page for Prefect."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from genmint.common.escaping import markdown
from genmint.common.project import Project
from genmint.flow.publish import Published
from genmint.flow.stage import Outcome

# Limits the size of the page, so that it loads fast.
_PICTURE_BYTES = 400_000


@dataclass(frozen=True)
class Verdict:
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
class Night:
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
    outcomes: list[Outcome] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
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

    def headline(self) -> str:
        """Return one line: what was trained, what changed, what failed."""
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


def page(night: Night, checkout: Project, tracker: str) -> str:
    """Return the summary page of a flow.

    Args:
        night: result of the flow.
        checkout: checkout with the samples of its models.
        tracker: address of MLflow; links are included only for a server.
    """
    where = night.published
    lines = [f"**{night.headline()}**", "", f"From commit `{night.commit[:12]}`"]
    if where is not None:
        pushed = f", pushed to {where.pushed}" if where.pushed else ""
        known = "" if where.new else " (identical to that of an earlier flow)"
        lines[-1] += f"; results on branch `{where.branch}`{pushed}{known}"
    lines += ["", *_failures(night.failures), *night.notes, ""]
    lines += _verdicts(night.verdicts, tracker)
    lines += _stages(night.outcomes, night.where)
    lines += _pictures(checkout, [verdict.name for verdict in night.verdicts])
    return "\n".join(lines)


def _failures(failures: Mapping[str, str]) -> list[str]:
    return [f"- {name}: **failed**: {markdown(message)}" for name, message in failures.items()]


def _verdicts(verdicts: Sequence[Verdict], tracker: str) -> list[str]:
    lines = [
        "| model | verdict | champion before | champion now | why |",
        "|---|---|---|---|---|",
    ]
    for each in verdicts:
        name = each.name
        if each.version is not None and tracker.startswith(("http://", "https://")):
            name = f"[{each.name}]({tracker}/#/models/{each.name}/versions/{each.version})"
        versions = (f"version {value}" if value else "none" for value in (each.before, each.after))
        cells = (name, each.verdict, *versions, markdown(each.reason))
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _stages(outcomes: Sequence[Outcome], where: Mapping[str, str]) -> list[str]:
    lines = ["| stage | what DVC did | seconds | where |", "|---|---|---:|---|"]
    for each in outcomes:
        verb, _, name = each.stage.partition("@")
        place = where.get(name, "") if verb in ("train", "evaluate") else ""
        lines.append(f"| {each.stage} | {each.result} | {each.seconds:.1f} | {place} |")
    return [*lines, ""]


def _pictures(checkout: Project, names: Sequence[str]) -> list[str]:
    """Return the sample sheets as inline images, since the checkout is removed after the flow."""
    lines = []
    for name in names:
        sheet = checkout.samples(name) / "sheet.png"
        if sheet.is_file() and sheet.stat().st_size <= _PICTURE_BYTES:
            data = base64.b64encode(sheet.read_bytes()).decode()
            lines += [f"### {name}", "", f"![{name}](data:image/png;base64,{data})", ""]
    return lines
