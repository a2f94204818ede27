"""Report page with samples, learning curves, gate results and champions."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genmint.common.errors import GenmintError
from genmint.common.files import read_json, scratch_dir, sha256_file, write_text
from genmint.common.html import render
from genmint.common.layout import HISTORY, SHEET, STRIP, TEXT, WEIGHTS
from genmint.common.project import Project
from genmint.config import Params
from genmint.data.ingestion.left_out import LeftOut
from genmint.evaluation.reference import REFERENCE
from genmint.training.history import read_history

if TYPE_CHECKING:
    from genmint.registry.versions import Version

_TEXT_SHOWN = 1500


def write_report(project: Project, params: Params) -> Path:
    """Write reports/index.html from stage outputs and the registry; return its path.

    The page embeds images and audio clips, so that it can be sent as one file. For missing parts it
    names the command that creates them.

    Raises:
        GenmintError: nothing was trained yet.
    """
    champions, registry_note = _champions(project, list(params.models))
    models = []
    for name in params.models:
        champion = champions.get(name)
        shown = _model(project, params, name, champion.version if champion else None)
        models.append(shown | {"probe": _probe(project, name, champion)})
    if not any(model["trained"] for model in models):
        raise GenmintError("nothing is trained yet. Run `dvc repro` first.")
    page = render(
        "genmint.reporting",
        "report.html",
        {"figure": format_number},
        models=models,
        datasets=[_dataset(project, name) for name in params.datasets],
        registry_note=registry_note,
    )
    target = project.root / "reports" / "index.html"
    write_text(target, page)
    return target


def format_number(value: Any) -> str:
    """Format a number with four significant digits and thousands separators; text is unchanged."""
    if isinstance(value, str):
        # The first digits identify a hash.
        return value[:12] if len(value) == 64 else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}".replace(",", " ")
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}".replace(",", " ")


def _champions(project: Project, names: list[str]) -> tuple[dict[str, Version], str]:
    """Return the champion of each model, and a note if the registry is not reachable."""
    from genmint.registry.resolve import champion

    try:
        versions = {name: champion(project, name) for name in names}
    except GenmintError as error:
        return {}, f"The registry could not be read: {error}"
    return {name: version for name, version in versions.items() if version is not None}, ""


def _probe(project: Project, name: str, champion: Version | None) -> dict[str, str]:
    """Return sheet and audio of the probe set, beside the champion's if that is another model."""
    from genmint.evaluation.probe_sheet import write_sheet
    from genmint.promotion.side_by_side import local_probe, version_probe
    from genmint.registry.registry import Registry

    probe = local_probe(project, name)
    if probe is None:
        return {}
    parts, heading = [(name, probe)], "Probe set"
    weights = project.model(name) / WEIGHTS
    if champion is not None and not (
        weights.is_file() and sha256_file(weights) == champion.weights
    ):
        try:
            other = version_probe(Registry.open(project), champion)
        except GenmintError as error:
            other, heading = None, f"Probe set (no comparison with the champion: {error})"
        if other is not None and other.kind == probe.kind:
            parts = [(f"champion, version {champion.version}", other), (f"models/{name}", probe)]
            heading = f"Probe set: champion, version {champion.version}, beside models/{name}"
    with scratch_dir() as folder:
        write_sheet(folder, "probe", parts)
        return {
            "heading": heading,
            "sheet": _data_uri(folder / "probe.png", "image/png"),
            "sound": _data_uri(folder / "probe.wav", "audio/wav"),
        }


def _model(project: Project, params: Params, name: str, champion: str | None) -> dict[str, Any]:
    block = params.models[name]
    shown: dict[str, Any] = {
        "name": name,
        "family": block.family,
        "dataset": block.dataset,
        "champion": champion,
        "trained": (project.model(name) / WEIGHTS).is_file(),
        "gate": _optional(project.gate_record(name)),
        "metrics": _metrics(project, name),
        "cost": _optional(project.cost(name)) or {},
        "sheet": _data_uri(project.samples(name) / SHEET, "image/png"),
        "sound": _data_uri(project.samples(name) / STRIP, "audio/wav"),
        "text": "",
        "curves": _curves(project.model(name) / HISTORY),
    }
    text = project.samples(name) / TEXT
    if text.is_file():
        shown["text"] = text.read_text(encoding="utf-8")[:_TEXT_SHOWN]
    return shown


def _metrics(project: Project, name: str) -> list[dict[str, Any]]:
    """Return one row per metric: value, standard error, unit, direction, baselines, noise floor."""
    from genmint.config.metric_catalogue import metric

    values = _optional(project.metrics(name)) or {}
    protocol = _optional(project.protocol(name)) or {}
    rows = []
    for key, value in values.items():
        if key.endswith("_stderr"):
            continue
        known = metric(key)
        rows.append(
            {
                "name": key,
                "value": value,
                "stderr": values.get(f"{key}_stderr"),
                "unit": known.unit,
                "direction": known.direction,
                "description": known.description,
                "baselines": protocol.get("baselines", {}).get(key, {}),
                "noise_floor": protocol.get("noise_floor", {}).get(key),
            }
        )
    return rows


def _dataset(project: Project, name: str) -> dict[str, Any]:
    reference = _optional(project.reference(name) / REFERENCE)
    left_out: dict[str, list[str]] = {}
    for metric, reason in (reference or {}).get("left_out", {}).items():
        left_out.setdefault(reason, []).append(metric)
    report = _optional(project.validation(name))
    # Reports of older versions do not count the files left out.
    other_files = [LeftOut(**each) for each in (report or {}).get("left_out", [])]
    return {
        "name": name,
        "other_files": ", ".join(map(str, other_files)),
        "left_out": left_out,
        "report": report,
        "reference": reference,
        "page": f"data/{name}.html" if project.validation_page(name).is_file() else None,
    }


def _optional(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    value = read_json(path)
    return value if isinstance(value, dict) else None


def _data_uri(path: Path, kind: str) -> str:
    if not path.is_file():
        return ""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _curves(history: Path) -> str:
    """Return the losses over the training steps as an SVG data URI; "" without a history."""
    if not history.is_file():
        return ""
    columns: dict[str, tuple[list[float], list[float]]] = {}
    for row in read_history(history):
        for key, value in row.items():
            if key.endswith("loss") and "step" in row:
                steps, values = columns.setdefault(key, ([], []))
                steps.append(row["step"])
                values.append(value)
    if not columns:
        return ""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "genmint", "font.size": 9}):
        picture = Figure(figsize=(5.6, 2.6), layout="constrained")
        axes = picture.add_subplot()
        for key, (steps, values) in columns.items():
            axes.plot(steps, values, label=key.replace("_", " "), linewidth=1.3)
        axes.set_xlabel("step")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
        buffer = io.BytesIO()
        picture.savefig(buffer, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
