"""What a version says of itself: tags, description and the files of its evaluation."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genmint import tracking
from genmint.comparison import Contrast, Ruling
from genmint.config import Params
from genmint.files import sha256_json
from genmint.gate_record import Record
from genmint.metrics.probe import PROBE
from genmint.models.record import load_record
from genmint.project import Project
from genmint.registered import GROUNDS_TAG, Version
from genmint.registry import Registry
from genmint.scoring import protocol_path, read_protocol
from genmint.stages import gate

# Contact sheet, clip strip and text of the protocol's samples and of the probe set, where there are
# any.
_SHOWN = ("sheet.png", "strip.wav", "text.txt", PROBE, "probe.png", "probe.wav", "probe.txt")

# Characters of a description: what MLflow's column holds on PostgreSQL.
_LONGEST = 5000


@dataclass(frozen=True)
class Facts:
    """What is known of a model when it is registered.

    Attributes:
        weights: sha256 of model.safetensors.
        tags: of the version.
        time_ms: now, for the metrics on the run's page.
    """

    weights: str
    tags: dict[str, str]
    time_ms: int


def facts(
    project: Project,
    params: Params,
    name: str,
    record: Record,
    registry: Registry,
    run_id: str,
) -> Facts:
    """Gather the tags of a version from model, gate record, run and dvc.lock."""
    model = load_record(project.model(name))
    measured = read_protocol(project, name)
    with tracking.reaching(registry.address):
        run_tags = registry.client.get_run(run_id).data.tags
    tags = {
        "genmint.gate": "passed" if record.passed else "refused",
        "genmint.gate_mode": record.mode,
        "genmint.record": sha256_json(record.model_dump(mode="json")),
        GROUNDS_TAG: grounds(record),
        "genmint.protocol": json.dumps(measured["protocol"], sort_keys=True),
        "genmint.prepared": model.prepared,
        "genmint.identity": model.identity,
        "genmint.dataset": params.models[name].dataset,
        "genmint.family": params.models[name].family,
        "genmint.dvc": json.dumps(
            tracking.model_hashes(project, name, params.models[name].dataset), sort_keys=True
        ),
    }
    if "genmint.git_commit" in run_tags:
        tags["genmint.git_commit"] = run_tags["genmint.git_commit"]
    return Facts(model.weights, tags, time.time_ns() // 1_000_000)


def refusals_in_a_row(versions: Sequence[Version]) -> int:
    """How many of the latest versions of one model its gate refused, up to one that it did not."""
    latest_first = sorted(versions, key=lambda version: int(version.version), reverse=True)
    refused = (version.tags.get("genmint.gate") == "refused" for version in latest_first)
    return sum(1 for _ in itertools.takewhile(bool, refused))


def grounds(record: Record) -> str:
    """Hash of what a gate decided on, without what differs from one measurement to the next.

    Times and memory are left out, so that measuring a model again is no new decision on it; whether
    it keeps its budgets is not.
    """
    decided = record.model_dump(mode="json", include={"model", "mode", "verdicts"})
    decided["checks"] = [
        [check.name, check.bound, None if check.name.startswith("cost.") else check.value]
        for check in record.checks
    ]
    decided["evidence"] = [
        [item.file, item.sha256] for item in record.evidence if not item.file.endswith(".cost.json")
    ]
    return sha256_json(decided)


def description(record: Record, weights: str, ruling: Ruling | None) -> str:
    """Render what a person should know of a version, as Markdown.

    Args:
        record: the decision of its gate.
        weights: sha256 of model.safetensors.
        ruling: the latest comparison with a champion, if there was one.
    """
    parts = [
        f"`{record.model}`, weights `{weights[:12]}`",
        gate.to_markdown(record),
        "" if ruling is None else compared(ruling),
        f'Load it: `mlflow.pyfunc.load_model("models:/{record.model}/VERSION")`; draw from it: '
        f"`genmint sample {record.model}/VERSION -n 64 --out FILE`.",
    ]
    whole = _joined(parts)
    if len(whole) > _LONGEST:
        parts[1] = gate.to_markdown(record, only_failed=True)
        rest = "The checks that passed are in the gate record among the artefacts of the run."
        whole = _joined([*parts, rest])
    # Whatever else: a description that the registry refuses would stop the promotion.
    return whole if len(whole) <= _LONGEST else whole[: _LONGEST - 1] + "…"


def compared(ruling: Ruling) -> str:
    """Render a comparison with a champion as Markdown."""
    verdict = "better" if ruling.better else "not better"
    lines = [
        f"**Against champion version {ruling.champion}: {verdict}** (one-sided limits at "
        f"{ruling.test.confidence:.0%})",
        "",
        "| split | metric | aim | new | champion | better by | limits | bound | verdict |",
        "|---|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for split, found in (("test", ruling.test), ("confirmation", ruling.confirmation)):
        if found is not None:
            lines += [_contrast(split, one) for one in found.contrasts]
    lines += ["", ruling.reason]
    return "\n".join(lines)


def _contrast(split: str, one: Contrast) -> str:
    limits = "–" if one.low is None else f"{one.low:.4g} … {gate.figure(one.high)}"
    cells = (
        split,
        f"`{one.metric}`",
        one.aim,
        gate.figure(one.challenger),
        gate.figure(one.champion),
        gate.figure(one.difference),
        limits,
        gate.figure(one.bound),
        "yes" if one.passed else "**no**",
    )
    return f"| {' | '.join(cells)} |"


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def evaluation_files(project: Project, name: str, dataset: str) -> dict[str, Path]:
    """Files that say how a model came about, was measured and judged, by path; those that exist.

    params.yaml and dvc.lock are among them: a version made from a tree that was never committed
    keeps its settings and the hashes of all that it was made from.
    """
    samples = project.samples(name)
    files = [
        project.params,
        project.lock,
        project.metrics(name),
        protocol_path(project, name),
        project.cost(name),
        project.gate_record(name),
        project.validation(dataset),
        project.items(name),
        project.resamples(name),
        *(samples / shown for shown in _SHOWN),
    ]
    there = [path for path in files if path.is_file()]
    return {path.relative_to(project.root).as_posix(): path for path in there}
