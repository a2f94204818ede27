"""What a flow did, as the Markdown page that Prefect shows."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from genmint.escaping import markdown
from genmint.flow.publish import Published
from genmint.flow.stage import Outcome
from genmint.project import Project

# A page with all pictures should stay quick to load.
_PICTURE_BYTES = 400_000


@dataclass(frozen=True)
class Verdict:
    """What became of a model.

    Attributes:
        name: of the model.
        verdict: of `genmint promote`; "failed" where a stage it needs did.
        reason: in words.
        version: that it is in the registry, if it was registered.
        before: version that was champion before; None if there was none.
        after: version that is champion now.
    """

    name: str
    verdict: str
    reason: str
    version: str | None
    before: str | None
    after: str | None


@dataclass
class Night:
    """What a flow did.

    Attributes:
        commit: that it started from.
        outcomes: of the stages, as they ended.
        failures: message of each unit that failed, or was not tried for want of another.
        where: on which worker a model was trained, by model.
        verdicts: of the models.
        published: where the results are, if there were any.
        notes: what else a reader should know.
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
        """Models that were trained, not taken from DVC's cache."""
        return [
            outcome.stage.partition("@")[2]
            for outcome in self.outcomes
            if outcome.stage.startswith("train@") and outcome.result == "ran"
        ]

    def headline(self) -> str:
        """One line: what was trained, what changed, what failed."""
        moved = [each.name for each in self.verdicts if each.before != each.after]
        trained = self.trained
        nothing = "nothing changed, so nothing was trained"
        parts = [f"trained {', '.join(trained)}" if trained else nothing]
        if moved:
            parts.append(f"new champion: {', '.join(moved)}")
        if self.failures:
            parts.append(f"failed: {', '.join(self.failures)}")
        return "; ".join(parts)


def page(night: Night, checkout: Project, tracker: str) -> str:
    """The page of a flow.

    Args:
        night: what it did.
        checkout: with the samples of its models.
        tracker: address of MLflow, for links; links need a server.
    """
    where = night.published
    lines = [f"**{night.headline()}**", "", f"From commit `{night.commit[:12]}`"]
    if where is not None:
        pushed = f", pushed to {where.pushed}" if where.pushed else ""
        known = "" if where.new else " (an earlier flow made the very same)"
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
    """Sheets of samples, in the page itself: a flow's checkout is gone when it is read."""
    lines = []
    for name in names:
        sheet = checkout.samples(name) / "sheet.png"
        if sheet.is_file() and sheet.stat().st_size <= _PICTURE_BYTES:
            data = base64.b64encode(sheet.read_bytes()).decode()
            lines += [f"### {name}", "", f"![{name}](data:image/png;base64,{data})", ""]
    return lines
