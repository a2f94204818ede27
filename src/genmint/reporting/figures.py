"""Tables, curves and embedded files of the report, each from one file of a project."""

from __future__ import annotations

import base64
import html
import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genmint.common.errors import GenmintError
from genmint.common.files import read_json
from genmint.common.layout import SHEET, STRIP, TEXT
from genmint.common.project import Project
from genmint.config.metric_catalogue import STDERR, Metric, known_metric
from genmint.config.skill_scale import why_no_skill
from genmint.decision.comparison import incomparable
from genmint.decision.evaluation import is_number
from genmint.decision.skill import format_skill, skill_of
from genmint.decision.trivial_baselines import better_codecs, no_better
from genmint.training.history import read_history

_TEXT_SHOWN = 1500
# Level of the interval of a skill.
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class MetricRow:
    """One metric of the files, with the champion's value and the values to compare it with.

    Attributes:
        known: unit, direction and description.
        name: name of the metric.
        value: value of the files; None if they do not have it.
        stderr: its standard error; None if unknown.
        champion: value of the champion; None if there is none.
        incomparable: protocol keys that differ from the champion's and affect this metric.
        baselines: values of the trivial baselines.
        noise_floor: value of real data against real data; None if unknown.
        skill: its skill with half the width of its 95 % interval; "" if it has none.
        no_skill: why its skill is undefined; "" if it has one, or is never compared with real data.
        codecs: lossless codecs that are better than the value; "" if there are none.
        mark: in which way the value is no better than a trivial baseline; "" if it is better.
        champion_mark: the same of the champion.
    """

    known: Metric
    name: str
    value: Any
    stderr: Any
    champion: Any
    incomparable: tuple[str, ...]
    baselines: Mapping[str, Any]
    noise_floor: Any
    skill: str
    no_skill: str
    codecs: str
    mark: str
    champion_mark: str


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


def check_skill(check: Mapping[str, Any]) -> str:
    """Format the skill of a check of a stored gate record; "–" if it has none."""
    value = check.get("skill")
    if not is_number(value):
        return "–"
    return format_skill(value, check.get("skill_low"), check.get("skill_high"))


def as_prose(text: str) -> str:
    """Return a message as escaped HTML, with its commands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def metric_rows(project: Project, name: str, champion: Project | None) -> list[MetricRow]:
    """Return one row per metric; those that are no better than a trivial baseline come first.

    Args:
        project: project with the files.
        name: name of the model entry.
        champion: files stored with the champion; None if there is none.
    """
    values, protocol = optional(project.metrics(name)), optional(project.protocol(name))
    theirs, their_protocol = {}, {}
    if champion is not None:
        theirs, their_protocol = optional(champion.metrics(name)), optional(champion.protocol(name))
    marks, their_marks = _marks(values, protocol), _marks(theirs, their_protocol)
    baselines, noise_floor = _mapping(protocol, "baselines"), _mapping(protocol, "noise_floor")
    better = better_codecs(values, baselines)
    how, their_how = _mapping(protocol, "protocol"), _mapping(their_protocol, "protocol")
    rows = []
    for key in dict.fromkeys([*values, *theirs]):
        known = known_metric(key)
        if key.endswith(STDERR) or known is None:
            continue
        compared = key in values and key in theirs
        rows.append(
            MetricRow(
                known,
                key,
                values.get(key),
                values.get(f"{key}{STDERR}"),
                theirs.get(key),
                tuple(incomparable(key, how, their_how)) if compared else (),
                _mapping(baselines, key),
                noise_floor.get(key),
                *_skill(key, values, protocol),
                ", ".join(f"{codec} {size:.4g}" for codec, size in better.get(key, {}).items()),
                marks.get(key, ""),
                their_marks.get(key, ""),
            )
        )
    return sorted(rows, key=lambda row: not row.mark)


def samples(project: Project, name: str) -> dict[str, str]:
    """Return sheet and audio of a model's samples as data URIs, and its text; "" if missing."""
    folder = project.samples(name)
    text = folder / TEXT
    shown = text.read_text(encoding="utf-8")[:_TEXT_SHOWN] if text.is_file() else ""
    sheet = "" if shown else data_uri(folder / SHEET, "image/png")
    sound = data_uri(folder / STRIP, "audio/wav")
    files = [file for file, value in ((SHEET, sheet), (STRIP, sound), (TEXT, shown)) if value]
    return {"sheet": sheet, "sound": sound, "text": shown, "files": ", ".join(files)}


def optional(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file; {} if it is missing, damaged or not a map."""
    try:
        content = read_json(path) if path.is_file() else None
    except GenmintError:
        return {}
    return content if isinstance(content, dict) else {}


def data_uri(path: Path, kind: str) -> str:
    """Return a file as a data URI of this media type; "" if it is missing."""
    if not path.is_file():
        return ""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def loss_curves(history: Path) -> str:
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


def _marks(values: Mapping[str, Any], protocol: Mapping[str, Any]) -> dict[str, str]:
    marked = no_better(values, _mapping(protocol, "baselines"))
    return {each.metric: each.reason for each in marked}


def _skill(metric: str, values: Mapping[str, Any], protocol: Mapping[str, Any]) -> tuple[str, str]:
    """Return the skill of a metric and why it is undefined; one of both is ""."""
    value = values.get(metric)
    if why_no_skill(metric) or not is_number(value) or not math.isfinite(value):
        return "", ""
    skill, reason = skill_of(metric, values, protocol, _CONFIDENCE)
    if skill is None:
        return "", reason
    return format_skill(skill.value, skill.low, skill.high), ""


def _mapping(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}
