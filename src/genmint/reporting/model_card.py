"""Model card of an exported version, in Markdown (Mitchell et al. 2019)."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from ruamel.yaml import YAML

from genmint.common.gate_verdict import is_dry_run
from genmint.common.markdown import escape_cell, escape_markdown, markdown_table
from genmint.common.project import Project
from genmint.config.metric_catalogue import STDERR, known_metric
from genmint.decision.evaluation import is_number
from genmint.decision.gate_record import Record
from genmint.lineage import Lineage
from genmint.models.shared.record import ModelRecord
from genmint.promotion.version_card import headline
from genmint.registry.loaded_model import LoadedModel
from genmint.reporting.data_licence import licence_of
from genmint.reporting.figures import optional
from genmint.stages import gate

# Half the width of a two-sided 95 % interval of a normal distribution, in standard errors.
_Z = 1.959964
# Uses of each method in the example of the card.
_EXAMPLES = {
    "reconstruct": "model.reconstruct(samples{labels})",
    "encode": "latents = model.encode(samples{labels})",
    "log_likelihood": "model.log_likelihood(samples{labels})    # nats",
    "to_audio": "clips = model.to_audio(samples)    # int16 N×T",
}


@dataclass(frozen=True)
class CardFacts:
    """What a model card is written from.

    Attributes:
        model: the loaded model.
        record: its gate record.
        evaluation: evaluation files of the version, laid out as in a project.
        lineage: origin of the version.
        project: project that the version is exported from, for the licence of the data.
        samples: path of each file with samples in the folder.
        text: first sample of a model of text, "" for others.
        folder: name of the folder.
    """

    model: LoadedModel
    record: Record
    evaluation: Project
    lineage: Lineage
    project: Project
    samples: Sequence[str]
    text: str
    folder: str


def model_card(facts: CardFacts) -> str:
    """Return the card: summary, use, samples, data, training, metrics, gate and limits."""
    model = facts.model
    title = f"# {model.name}, version {model.version}"
    sections = (_summary, _use, _samples, _data, _training, _metrics, _gate, _limits)
    return "\n\n".join((title, *(section(facts) for section in sections))) + "\n"


def _summary(facts: CardFacts) -> str:
    record = facts.model.record
    rows = [
        ("family", record.model.family),
        ("data", f"{record.data.dataset} ({record.data.kind})"),
        ("items and samples", _form(facts.model)),
        ("weights", f"`model.safetensors`, sha256 `{record.weights}`"),
        ("registered as", f"`{facts.model.name}/{facts.model.version}`{_aliases(facts.lineage)}"),
    ]
    if facts.model.classes:
        rows.append(("classes", escape_markdown(", ".join(facts.model.classes))))
    return "\n".join((headline(facts.record), "", *markdown_table(("", ""), rows)))


def _aliases(lineage: Lineage) -> str:
    return f", {', '.join(lineage.aliases)} when exported" if lineage.aliases else ""


def _form(model: LoadedModel) -> str:
    return repr(model).partition(", ")[2].rpartition("; ")[0]


def _use(facts: CardFacts) -> str:
    model, text = facts.model, facts.model.module.spec.kind == "text"
    # JSON quotes and escapes a text as Python does.
    labels = f", labels={json.dumps(model.classes[0])}" if model.classes else ""
    more = ", length=80" if text else labels
    lines = [
        "import genmint",
        "",
        f"model = genmint.load({json.dumps(f'./{facts.folder}')})",
        f"samples = model.sample(16, seed=0{more})",
    ]
    lines += [
        line.format(labels="" if text else labels)
        for name, line in _EXAMPLES.items()
        if name in model.abilities
    ]
    code = "\n".join(lines)
    return (
        f"## Use\n\n```python\n{code}\n```\n\n"
        "`genmint.load` compares the files with `manifest.json` and runs no code from this folder. "
        "Arrays and texts go in and out; `help(model)` describes them. The weights can also be "
        "read with `safetensors`; `config.json` has the settings of the network."
    )


def _samples(facts: CardFacts) -> str:
    shown = [
        f"![samples]({path})" if path.endswith(".png") else f"[{path}]({path})"
        for path in facts.samples
    ]
    if facts.text:
        ticks = "`" * (3 + facts.text.count("```"))
        shown.append(f"{ticks}text\n{facts.text}\n{ticks}")
    return "\n\n".join(("## Samples", "Drawn with seed 0; not selected.", *shown))


def _data(facts: CardFacts) -> str:
    dataset = facts.model.record.data.dataset
    report = optional(facts.evaluation.validation(dataset))
    rows = [("data set", f"`{dataset}`")]
    if "items" in report:
        rows.append(
            ("items", f"{report['items']}, of which {report.get('quarantined', 0)} rejected")
        )
    licence = licence_of(facts.project, facts.evaluation, dataset)
    rows += [
        ("licence", escape_cell(licence)),
        ("prepared as", f"sha256 `{facts.model.record.prepared}`"),
    ]
    return "\n".join(("## Data", "", *markdown_table(("", ""), rows)))


def _training(facts: CardFacts) -> str:
    record, lineage = facts.model.record, facts.lineage
    commit, run = lineage.commit or {}, lineage.run or {}
    environment = run.get("environment", {})
    known = {
        "commit": commit.get("training") or commit.get("recorded"),
        "started": run.get("started"),
        "device": environment.get("device"),
        "torch": environment.get("torch"),
        **record.resolved,
    }
    rows = [(key, escape_markdown(str(value))) for key, value in known.items() if value]
    rows += [(f"not known: {link}", escape_markdown(why)) for link, why in lineage.unknown.items()]
    table = markdown_table(("", ""), rows)
    return "\n".join(("## Training", "", *table, "", "```yaml", _entry(record), "```"))


def _entry(record: ModelRecord) -> str:
    """Return the model entry as YAML, without what is left at its default."""
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = None
    shown = record.model.model_dump(mode="json", exclude_defaults=True)
    yaml.dump({record.name: {"family": record.model.family, **shown}}, stream)
    return stream.getvalue().rstrip()


def _metrics(facts: CardFacts) -> str:
    name = facts.model.name
    values = optional(facts.evaluation.metrics(name))
    measured = optional(facts.evaluation.protocol(name))
    rows = [
        _metric(each, values, measured)
        for each in values
        if not each.endswith(STDERR) and _is_finite(values[each])
    ]
    columns = ("metric", "value", "95 % interval", "trivial baseline", "noise floor", "meaning")
    table = markdown_table(columns, rows, numbers=columns[1:5])
    note = (
        "On held-out data. The interval is that of the measurement (normal approximation), not of "
        "another training run. The noise floor is the difference between two sets of real items."
    )
    return "\n".join(("## Metrics", "", note, "", *table))


def _metric(name: str, values: Mapping[str, Any], measured: Mapping[str, Any]) -> tuple[str, ...]:
    value, error = values[name], values.get(f"{name}{STDERR}")
    interval = "–"
    if _is_finite(error) and error > 0:
        interval = f"{value - _Z * error:.4g} … {value + _Z * error:.4g}"
    baselines = _mapping(_mapping(measured.get("baselines")).get(name))
    shown = ", ".join(f"{_number(each)} ({key})" for key, each in baselines.items())
    floor = _number(_mapping(measured.get("noise_floor")).get(name))
    known = known_metric(name)
    meaning = "" if known is None else f"{known.description} ({known.direction} is better)"
    return f"`{name}`", _number(value), interval, shown or "–", floor, escape_cell(meaning)


def _gate(facts: CardFacts) -> str:
    checks = sorted(facts.record.checks, key=lambda check: check.passed)
    note = "The gate was in dry-run: it decided nothing.\n\n"
    dry = note if is_dry_run(facts.record.model_dump(mode="json")) else ""
    return f"## Gate\n\n{dry}{gate.to_markdown(checks)}"


def _limits(facts: CardFacts) -> str:
    model, spec = facts.model, facts.model.module.spec
    lines = [
        f"It draws what resembles the data set `{spec.dataset}`, with the gaps and the errors of "
        "that data, and was measured on no other data.",
        "It may reproduce training items. The metrics of copies and near-duplicates, where there "
        "are any, say how often it does.",
        "The same seed gives the same samples on the same kind of machine; another processor or "
        "version of PyTorch changes last digits.",
    ]
    if spec.kind == "text":
        characters = len(spec.vocabulary or ()) - 2
        lines.append(f"It knows {characters} characters and refuses prompts with others.")
    else:
        lines.append(f"All items have one form: {_form(model)}.")
    if "log_likelihood" not in model.abilities:
        lines.append("It has no likelihood, so it cannot say how probable an item is.")
    lines.append("`manifest.json` finds damage. It is not signed and does not prove who wrote it.")
    return "\n".join(("## Limits", "", *(f"- {line}" for line in lines)))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_finite(value: object) -> TypeGuard[int | float]:
    return is_number(value) and math.isfinite(value)


def _number(value: Any) -> str:
    return f"{value:.4g}" if _is_finite(value) else "–"
