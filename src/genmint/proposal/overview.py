"""Overview of surveyed files as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from genmint.data.ingestion.left_out import sentence
from genmint.data.ingestion.readers.image import COLOURLESS
from genmint.proposal.structure import Structure
from genmint.proposal.survey import Survey, shares, spread


def overview(survey: Survey, structure: Structure) -> str:
    """Return what the files are, one property a line."""
    content = survey.content
    lines = [("", f"{content.path}: {content}")]
    if not survey.complete:
        lines.append(("read", f"{len(survey.table):,} of them, drawn at random"))
    lines += _properties(survey)
    if content.kind != "text" or structure.split:
        lines.append(("labels", str(structure)))
    lines += _structure(structure)
    lines.append(("duplicates", _duplicates(survey)))
    lines += [
        ("cannot be used", f"{number:,}: {reason}; for instance {path}")
        for reason, number, path in survey.common_reasons()
    ]
    if content.left_out:
        lines.append(("left out", sentence(content.left_out)))
    return "\n".join(f"  {key:<14} {value}" if key else value for key, value in lines)


def _properties(survey: Survey) -> Iterator[tuple[str, str]]:
    """Yield the properties of the kind."""
    kind = survey.content.kind
    if kind == "image":
        sizes = survey.column("width"), survey.column("height")
        yield "size", shares([f"{w}×{h}" for w, h in zip(*sizes, strict=True)])
        yield "pixel format", shares(survey.column("mode"))
        bits = survey.column("bits")
        if set(bits) != {8}:
            yield "bits", shares(bits)
        coloured = sum(each > COLOURLESS for each in survey.column("colour"))
        yield "colours", f"{coloured:,} of {len(survey.accepted):,} have colours"
    elif kind == "audio":
        yield "sample rate", f"{shares(survey.column('sample_rate'))} Hz"
        yield "channels", shares(survey.column("channels"))
        low, middle, high = spread(survey.column("seconds"))
        total = sum(survey.column("seconds"))
        yield "length", f"{low:.2f} to {high:.2f} s, median {middle:.2f} s, {total:,.0f} s together"
    else:
        characters = survey.column("characters")
        low, middle, high = spread(characters)
        yield "characters", f"{sum(characters):,} together; {low:,.0f} to {high:,.0f} a text"
        yield "alphabet", f"{max(survey.column('charset')):,} distinct characters in a text"
        yield "encoding", "UTF-8"


def _structure(structure: Structure) -> Iterator[tuple[str, str]]:
    if structure.split:
        yield "splits", f"official, by folder: {structure.pattern}"
    for place, values in structure.parts:
        shown = ", ".join(values[:6]) + (", …" if len(values) > 6 else "")
        yield (
            "names",
            f"part {place} repeats ({shown}). If it is a speaker, patient or camera, name it in "
            "filename_pattern and set split: group:NAME, so that none is in two splits",
        )


def _duplicates(survey: Survey) -> str:
    copies = sum("the same content as" in reason for reason in survey.reasons.values())
    alike = survey.near_duplicates
    if not alike:
        return "none"
    nearly = max(0, alike - copies)
    counts = [f"{copies:,} {'copy' if copies == 1 else 'copies'}"] if copies else []
    counts += [f"{nearly:,} nearly the same as another"] if nearly else []
    return "; ".join(counts)
