"""Data set entry for surveyed files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from genmint.common.errors import DataError
from genmint.config import AudioDataset, Dataset, ImageDataset, Params, TextDataset
from genmint.config.base import Kind
from genmint.data.ingestion.final_reader import ranges_of
from genmint.data.ingestion.readers.image import COLOURLESS
from genmint.data.splitting import assignment
from genmint.proposal.content import Content
from genmint.proposal.entry_text import EntryKey, ParamsEntry
from genmint.proposal.structure import Structure
from genmint.proposal.survey import Survey, mode_of, shares, spread, way_out

# Minutes of a budget from which images and audio are prepared in finer resolution.
_LONG, _LONGER = 30.0, 240.0
_SIDES = {0.0: 32, _LONG: 64, _LONGER: 128}
_RATES = {0.0: 8000, _LONG: 16_000, _LONGER: 22_050}
# Samples of a clip at most, so that a recurrent network draws it within seconds.
_CLIP = {0.0: 4000, _LONG: 16_000, _LONGER: 44_100}
# A recording longer than this many clips is cut into all of its clips.
_WHOLE = 4
# Clips that recordings are cut into, if they are long enough.
_FEWEST_CLIPS = 100
# Recordings of this share of the longest clip are padded to it.
_NEARLY = 0.6
# Shares of validation, test and confirmation by the fewest items for which they are proposed. The
# fewer items there are, the more of them are held out, since metrics need tens of them.
_SHARES = ((2000, (0.1, 0.1, 0.05)), (600, (0.1, 0.15, 0.05)), (0, (0.15, 0.2, 0.1)))
_OTHER_SHARES = ((0.2, 0.2, 0.1), (0.2, 0.25, 0.1), (0.2, 0.2, 0.0), (0.25, 0.25, 0.0))
_ADMITTED = 0.02
_MOST_ADMITTED = 0.2
_TEXTS_TO_SPLIT = 20


def first_entry(name: str, path: str, content: Content, structure: Structure) -> Dataset:
    """Return an entry by which some files can be read, before anything is known about them."""
    own: dict[Kind, dict[str, Any]] = {
        "image": {"resolution": _SIDES[0.0]},
        "audio": {"sample_rate": _RATES[0.0], "seconds": 0.5},
        "text": {},
    }
    common = {"path": path, "kind": content.kind, **_labels(structure)}
    return _parsed(name, common | own[content.kind])


def read_as(name: str, first: Dataset, rows: pa.Table, minutes: float, files: int) -> Dataset:
    """Return the entry by which the files are read, given the manifest rows of some of them.

    Args:
        name: name of the data set.
        first: entry by which the rows were read.
        rows: manifest rows of some files.
        minutes: time budget.
        files: number of all files.
    """
    known = [row for row in rows.to_pylist() if row["error"] is None]
    changed: dict[str, Any] = {}
    if isinstance(first, ImageDataset):
        changed["resolution"] = _side(known, minutes)
        changed["bits"] = _bits(rows)
        changed["mode"] = mode_of(rows)
    elif isinstance(first, AudioDataset):
        changed |= _clips(known, minutes, files)
    changed["split"] = _split(first, files, changed.get("windows") == "all")
    return _parsed(name, first.model_dump(mode="json") | changed)


def dataset_entry(name: str, survey: Survey, structure: Structure) -> ParamsEntry:
    """Return the data set entry with the reasons of its settings.

    Raises:
        DataError: too many files cannot be used, or the items are too few to be split.
    """
    dataset, content = survey.dataset, survey.content
    _refuse_unusable(survey)
    settings = [
        EntryKey("path", dataset.path),
        EntryKey("kind", dataset.kind, str(content)),
        *_own_settings(survey),
        *_split_settings(name, survey, structure),
        *_label_settings(structure),
    ]
    if survey.quarantined_share > _ADMITTED / 2:
        admitted = math.ceil(survey.quarantined_share * 150) / 100
        settings.append(
            EntryKey("max_quarantined", admitted, f"cannot be used: {_reasons(survey, 1)}")
        )
    settings.append(EntryKey("protocol", _protocol(survey)))
    return ParamsEntry(name, tuple(settings))


def parsed_entry(entry: ParamsEntry) -> Dataset:
    """Return the validated data set entry."""
    return _parsed(entry.name, entry.values())


def _parsed(name: str, values: dict[str, Any]) -> Dataset:
    known = {key: value for key, value in values.items() if value is not None}
    document = {"datasets": {name: known}, "models": {}, "gates": {}}
    return Params.model_validate(document).datasets[name]


def _labels(structure: Structure) -> dict[str, Any]:
    return {
        "labels": structure.labels,
        "filename_pattern": structure.pattern,
        "split": structure.split or "hash",
    }


def _by_minutes(table: dict[float, int], minutes: float) -> int:
    return table[max(least for least in table if least <= minutes)]


def _side(rows: Sequence[dict[str, Any]], minutes: float) -> int:
    """Return the resolution: what most images have, at most what the budget allows."""
    sides = sorted(min(row["width"], row["height"]) for row in rows)
    usual = sides[len(sides) // 4]
    most = _by_minutes(_SIDES, minutes)
    return most if usual >= most else max(8, usual // 4 * 4)


def _bits(rows: pa.Table) -> int | None:
    """Return the bits that 16-bit files use, if that is less than their range; else None."""
    readable = rows.filter(rows["error"].is_null())
    low_high = ranges_of(readable).get(16)
    if low_high is None:
        return None
    used = max(1, low_high[1].bit_length())
    return used if used < 15 else None


def _clips(rows: Sequence[dict[str, Any]], minutes: float, files: int) -> dict[str, Any]:
    """Return sample rate, length and number of the clips of a recording."""
    rates = sorted(row["sample_rate"] for row in rows)
    rate = max(1000, min(rates[len(rates) // 2], _by_minutes(_RATES, minutes)))
    usual = spread([row["seconds"] for row in rows])[1]
    longest = _by_minutes(_CLIP, minutes) / rate
    # A spectrogram needs 8 columns of 128 samples.
    shortest = 8 * 128 / rate
    seconds = longest if usual >= _NEARLY * longest else max(shortest, usual)
    whole = usual > _WHOLE * longest or files < _TEXTS_TO_SPLIT
    if whole:
        seconds = max(shortest, min(seconds, usual * files / _FEWEST_CLIPS))
    return {
        "sample_rate": rate,
        "seconds": round(seconds, 2) if seconds >= 0.1 else round(seconds, 3),
        "windows": "all" if whole else "first",
    }


def _split(dataset: Dataset, files: int, whole: bool) -> str:
    """Return the split: as the folders state it, by position for a few long files, or by hash."""
    if dataset.split == "official":
        return "official"
    if (isinstance(dataset, TextDataset) or whole) and files < _TEXTS_TO_SPLIT:
        return "position" if files == 1 else "position:file"
    return "hash"


def _refuse_unusable(survey: Survey) -> None:
    if survey.quarantined_share > _MOST_ADMITTED:
        first = survey.table.slice(next(iter(survey.reasons)), 1).to_pylist()[0]
        raise DataError(
            f"{survey.content.path}: {len(survey.reasons):,} of {len(survey.table):,} files cannot "
            f"be used: {_reasons(survey, 3)}. {way_out(first)}; "
            f"config/expectations/{survey.dataset.kind}.yaml has the limits"
        )
    if survey.problems and survey.complete:
        raise DataError(
            f"{survey.content.path}: the files fail config/expectations/"
            f"{survey.dataset.kind}.yaml: {'; '.join(survey.problems)}. Add files, or change the "
            "limit there"
        )


def _reasons(survey: Survey, number: int) -> str:
    return "; ".join(
        f"{count:,} such as {path} ({reason})"
        for reason, count, path in survey.common_reasons(number)
    )


def _own_settings(survey: Survey) -> Iterator[EntryKey]:
    """Yield the settings of the kind."""
    dataset = survey.dataset
    if isinstance(dataset, ImageDataset):
        low, middle, high = spread([float(min(pair)) for pair in _sizes(survey)])
        why = f"shorter sides: {low:g} to {high:g}, median {middle:g} pixels"
        yield EntryKey("resolution", dataset.resolution, why)
        coloured = sum(each > COLOURLESS for each in survey.column("colour"))
        why = f"{coloured:,} of {len(survey.accepted):,} have colours"
        yield EntryKey("mode", dataset.mode, why)
        if dataset.bits is not None:
            yield EntryKey("bits", dataset.bits, "the 16-bit files use this many of their bits")
    elif isinstance(dataset, AudioDataset):
        rates = shares(survey.column("sample_rate"))
        yield EntryKey("sample_rate", dataset.sample_rate, f"Hz; files: {rates}")
        low, middle, high = spread(survey.column("seconds"))
        why = f"files: {low:.2f} to {high:.2f} s, median {middle:.2f} s"
        yield EntryKey("seconds", dataset.seconds, why)
        whole = dataset.windows == "all"
        why = "all clips of a recording" if whole else "the first clip of a recording"
        yield EntryKey("windows", dataset.windows, why)


def _sizes(survey: Survey) -> list[tuple[int, int]]:
    return list(zip(survey.column("width"), survey.column("height"), strict=True))


def _split_settings(name: str, survey: Survey, structure: Structure) -> Iterator[EntryKey]:
    """Yield split and shares; they were tried on the items, if all of them were read."""
    dataset = survey.dataset
    counts = assignment.counts_of(survey.accepted)
    items = round(survey.items * float(counts.mean())) if len(counts) else 0
    usual = next(share for least, share in _SHARES if items >= least)
    if isinstance(dataset, TextDataset):
        usual = _SHARES[0][1]
    for validation, test, confirmation in (usual, *_OTHER_SHARES):
        shares = {"validation": validation, "test": test, "confirmation": confirmation}
        changed = _parsed(name, dataset.model_dump(mode="json") | shares | _text_protocol(survey))
        try:
            if survey.complete:
                _tried(name, survey, changed)
        except DataError as error:
            refusal = error
            continue
        yield EntryKey("split", dataset.split, _why_split(dataset, structure))
        yield from (EntryKey(key, value) for key, value in shares.items())
        return
    raise refusal


def _why_split(dataset: Dataset, structure: Structure) -> str:
    if structure.split:
        return "as the folders state it"
    if dataset.split.startswith("position"):
        return "each text or recording is cut: the end is for the test"
    return "by content; an item stays in its split for ever"


def _tried(name: str, survey: Survey, dataset: Dataset) -> None:
    """Assign the items to the splits as prepare does.

    Raises:
        DataError: a split would be too small.
    """
    readable = survey.table.filter(survey.table["error"].is_null())
    near = assignment.near_duplicates(survey.accepted, dataset)
    if not len(readable):
        raise DataError(f"datasets.{name}: nothing can be read")
    if isinstance(dataset, TextDataset):
        assignment.cut_texts(name, survey.accepted, dataset, near)
    else:
        assignment.assign(name, survey.accepted, dataset, near)


def _label_settings(structure: Structure) -> Iterator[EntryKey]:
    why = str(structure) if structure.classes else ""
    yield EntryKey("labels", structure.labels, why)
    if structure.pattern is not None:
        yield EntryKey("filename_pattern", structure.pattern)


def _text_protocol(survey: Survey) -> dict[str, Any]:
    return {"protocol": _protocol(survey)}


def _protocol(survey: Survey) -> dict[str, Any]:
    """Return the protocol: as many samples as the test split has items, within limits."""
    if survey.dataset.kind == "text":
        characters = sum(survey.column("characters")) * survey.items / max(1, len(survey.accepted))
        # The validation split must be four times as long; it is a tenth of the text or less.
        length = max(16, min(512, int(characters * 0.07) // 4 // 16 * 16))
        return {"samples": 32, "sample_length": length}
    power = 2 ** round(math.log2(max(32, survey.items / 5)))
    return {"samples": min(256, power), "resamples": 3, "importance_samples": 16, "batch_size": 64}
