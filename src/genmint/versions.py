"""What a version says of itself: tags, description and the files of its evaluation."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from genmint import tracking
from genmint.config import Params
from genmint.files import read_json, sha256_json
from genmint.gating import Record
from genmint.metrics.probe import PROBE
from genmint.models import store
from genmint.project import Project
from genmint.registry import GROUNDS_TAG, Registry
from genmint.scoring import ITEMS, protocol_path
from genmint.stages import gate

# Contact sheet, clip strip and text of the protocol's samples and of the probe set, where there are
# any.
_SHOWN = (
    "sheet.png",
    "strip.wav",
    "text.txt",
    ITEMS,
    PROBE,
    "probe.png",
    "probe.wav",
    "probe.txt",
)


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
    model = store.load_record(project.model(name))
    measured = read_json(protocol_path(project, name))
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


def description(record: Record, values: Facts) -> str:
    """Render what a person should know of a version, as Markdown."""
    return (
        f"`{record.model}`, weights `{values.weights[:12]}`\n\n"
        f"{gate.to_markdown(record)}\n"
        f'Load it: `mlflow.pyfunc.load_model("models:/{record.model}/VERSION")`; draw from it: '
        f"`genmint sample {record.model}/VERSION -n 64 --out FILE`.\n"
    )


def evaluation_files(project: Project, name: str, dataset: str) -> list[Path]:
    """List the files that say how a model came about, was measured and judged; those that exist.

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
        *(samples / shown for shown in _SHOWN),
    ]
    return [path for path in files if path.is_file()]
