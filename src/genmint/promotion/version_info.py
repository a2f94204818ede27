"""Metadata of a registered version: tags, description and evaluation files."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genmint import tracking
from genmint.common.files import sha256_json
from genmint.common.project import Project
from genmint.config import Params
from genmint.decision.comparison import Contrast, Ruling
from genmint.decision.gate_record import Record
from genmint.evaluation.probe import PROBE
from genmint.models.shared.record import load_record
from genmint.promotion.scores import protocol_path, read_protocol
from genmint.registry.registry import Registry
from genmint.registry.versions import GROUNDS_TAG, Version
from genmint.stages import gate

# Contact sheet, audio strip and text of the protocol's samples and of the probe set, if present.
_SHOWN = ("sheet.png", "strip.wav", "text.txt", PROBE, "probe.png", "probe.wav", "probe.txt")

# Maximum length of a description in characters: the limit of MLflow's column on PostgreSQL.
_LONGEST = 5000


@dataclass(frozen=True)
class Facts:
    """Facts about a model at registration.

    Attributes:
        weights: sha256 of model.safetensors.
        tags: tags of the version.
        time_ms: current time in milliseconds since the epoch, for the metrics of the run.
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
    """Collect the tags of a version from model, gate record, run and dvc.lock."""
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
    """Return how many of the latest versions of a model were refused by its gate in a row."""
    latest_first = sorted(versions, key=lambda version: int(version.version), reverse=True)
    refused = (version.tags.get("genmint.gate") == "refused" for version in latest_first)
    return sum(1 for _ in itertools.takewhile(bool, refused))


def grounds(record: Record) -> str:
    """Return the hash of the gate's inputs without values that vary between measurements.

    Times and memory use are left out, so that measuring a model again does not count as a new
    decision. Whether the model stays within its cost limits is included.
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
    """Render the summary of a version as Markdown.

    Args:
        record: gate record of the version.
        weights: sha256 of model.safetensors.
        ruling: latest comparison with a champion, None if there was none.
    """
    parts = [
        f"`{record.model}`, weights `{weights[:12]}`",
        gate.to_markdown(record),
        "" if ruling is None else compared(ruling),
        f'Load it: `genmint.load("{record.model}/VERSION")`; draw from it: '
        f"`genmint sample {record.model}/VERSION -n 64 --out FILE`. Both compare it with its "
        "signature. `mlflow models serve` and `mlflow.pyfunc.load_model` run the code that is "
        f"stored with it: look first whether `genmint lineage {record.model}/VERSION` finds "
        "anything broken.",
    ]
    whole = _joined(parts)
    if len(whole) > _LONGEST:
        parts[1] = gate.to_markdown(record, only_failed=True)
        rest = "The checks that passed are in the gate record among the artefacts of the run."
        whole = _joined([*parts, rest])
    # Truncate as a last resort: a description that the registry rejects would stop the promotion.
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
        "passed" if one.passed else "**failed**",
    )
    return f"| {' | '.join(cells)} |"


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def evaluation_files(project: Project, name: str, dataset: str) -> dict[str, Path]:
    """Return the existing files on a model's origin, evaluation and gate, by relative path.

    They include params.yaml and dvc.lock. A version made from an uncommitted working tree thus
    keeps its settings and the hashes of all its inputs.
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
        project.trained(dataset),
        *(samples / shown for shown in _SHOWN),
    ]
    there = [path for path in files if path.is_file()]
    return {path.relative_to(project.root).as_posix(): path for path in there}
