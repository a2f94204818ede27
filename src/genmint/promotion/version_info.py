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
from genmint.common.layout import SHEET, STRIP, TEXT
from genmint.common.markdown import markdown_table
from genmint.common.project import Project
from genmint.common.tags import (
    DATASET_TAG,
    FAMILY_TAG,
    GATE_INPUTS_TAG,
    GATE_MODE_TAG,
    GATE_RECORD_TAG,
    GATE_TAG,
    GIT_COMMIT_TAG,
    IDENTITY_TAG,
    OVERRIDE_TAG,
    PREPARED_TAG,
    PROTOCOL_TAG,
)
from genmint.decision.comparison import ChampionComparison, Contrast
from genmint.decision.evaluation import Evaluation
from genmint.decision.gate_record import Record
from genmint.evaluation.probe import PROBE
from genmint.models.shared.record import load_record
from genmint.promotion.version_card import (
    Page,
    baselines_line,
    checks_table,
    evidence_table,
    headline,
    identity_line,
    metrics_table,
)
from genmint.registry.journal import CHAMPION
from genmint.registry.registry import Registry
from genmint.registry.version_notes import LONGEST
from genmint.registry.versions import Version
from genmint.stages import gate

# Contact sheet, audio strip and text of the protocol's samples and of the probe set, if present.
_SHOWN = (SHEET, STRIP, TEXT, PROBE, "probe.png", "probe.wav", "probe.txt")


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
    project: Project, evaluation: Evaluation, record: Record, registry: Registry, run_id: str
) -> Facts:
    """Collect the tags of a version from model, evaluation, gate record and run."""
    name, dataset = evaluation.name, evaluation.dataset
    model = load_record(project.model(name))
    with tracking.reaching(registry.address):
        run_tags = registry.client.get_run(run_id).data.tags
    tags = {
        GATE_TAG: "passed" if record.passed else "refused",
        GATE_MODE_TAG: record.mode,
        GATE_RECORD_TAG: sha256_json(record.model_dump(mode="json")),
        GATE_INPUTS_TAG: gate_inputs(record),
        PROTOCOL_TAG: json.dumps(evaluation.measured()["protocol"], sort_keys=True),
        PREPARED_TAG: model.prepared,
        IDENTITY_TAG: model.identity,
        DATASET_TAG: dataset,
        FAMILY_TAG: model.model.family,
    }
    if GIT_COMMIT_TAG in run_tags:
        tags[GIT_COMMIT_TAG] = run_tags[GIT_COMMIT_TAG]
    return Facts(model.weights, tags, time.time_ns() // 1_000_000)


def refusals_in_a_row(versions: Sequence[Version]) -> int:
    """Return how many of the latest versions of a model were refused by its gate in a row."""
    latest_first = sorted(versions, key=lambda version: int(version.version), reverse=True)
    refused = (version.tags.get(GATE_TAG) == "refused" for version in latest_first)
    return sum(1 for _ in itertools.takewhile(bool, refused))


def gate_inputs(record: Record) -> str:
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


def description(
    record: Record, weights: str, comparison: ChampionComparison | None, page: Page | None = None
) -> str:
    """Render the page of a version as Markdown: the result first, hashes of the evidence last.

    Args:
        record: gate record of the version.
        weights: sha256 of model.safetensors.
        comparison: latest comparison with a champion, None if there was none.
        page: what else the page shows.
    """
    page = page or Page()
    about = identity_line(record, weights, page)
    first = [headline(record), about, alias_meaning(record), baselines_line(page)]
    against = "" if comparison is None else compared(comparison)
    metrics, use = metrics_table(page), _how_to_use(record.model, page.version or "VERSION")
    left_out = "The checks that passed are in the gate record among the artefacts of the run."
    versions = (
        (against, metrics, checks_table(record), use, evidence_table(record)),
        (against, checks_table(record, only_failed=True), metrics, use, left_out),
        (against, checks_table(record, only_failed=True), use, left_out),
    )
    for rest in versions:
        whole = _joined([*first, *rest])
        if len(whole) <= LONGEST:
            return whole
    # Truncate as a last resort: a description that the registry rejects would stop the promotion.
    return whole[: LONGEST - 1] + "…"


def _how_to_use(name: str, version: str) -> str:
    return (
        f'Load it: `genmint.load("{name}/{version}")`; draw from it: '
        f"`genmint sample {name}/{version} -n 64 --out FILE`. Both compare it with its "
        "signature. `mlflow models serve` and `mlflow.pyfunc.load_model` run the code that is "
        f"stored with it: look first whether `genmint lineage {name}/{version}` finds "
        "anything broken."
    )


def alias_meaning(record: Record) -> str:
    """Return in one sentence what it means to move the alias `champion` to a version."""
    if record.mode == "dry-run":
        return (
            f"**Alias:** its gate was in dry-run and admits no champion: moving the alias "
            f"`{CHAMPION}` here is reverted by the next reconcile once the gate enforces."
        )
    if record.passed:
        return (
            f"**Alias:** this version passed its gate and may be made champion: move the alias "
            f"`{CHAMPION}` here, and the next reconcile writes it into the journal."
        )
    return (
        f"**Alias:** this version failed its gate: moving the alias `{CHAMPION}` here is reverted "
        "by the next reconcile, and until then genmint and the served model refuse to load it. "
        f"Only a tag `{OVERRIDE_TAG}` that the gate's policy allows changes that."
    )


def compared(comparison: ChampionComparison) -> str:
    """Render a comparison with a champion as Markdown."""
    verdict = "better" if comparison.better else "not better"
    rows = [
        _contrast(split, one)
        for split, tested in (("test", comparison.test), ("confirmation", comparison.confirmation))
        if tested is not None
        for one in tested.contrasts
    ]
    numbers = ("new", "champion", "better by", "limits", "bound")
    lines = [
        f"**Against champion version {comparison.champion}: {verdict}** (one-sided limits at "
        f"{comparison.test.confidence:.0%})",
        "",
        *markdown_table(("split", "metric", "aim", *numbers, "verdict"), rows, numbers=numbers),
        "",
        comparison.reason,
    ]
    return "\n".join(lines)


def _contrast(split: str, one: Contrast) -> tuple[str, ...]:
    limits = "–" if one.low is None else f"{one.low:.4g} … {gate.format_check_value(one.high)}"
    return (
        split,
        f"`{one.metric}`",
        one.aim,
        gate.format_check_value(one.challenger),
        gate.format_check_value(one.champion),
        gate.format_check_value(one.difference),
        limits,
        gate.format_check_value(one.bound),
        "passed" if one.passed else "**failed**",
    )


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
        project.protocol(name),
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
