"""Checks that a stage's inputs were made with the current settings of params.yaml.

DVC decides which stages run again. If it is wrong, or a stage is run by hand on outputs of other
settings, the stage raises an error. Outputs therefore contain the settings they were made with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genmint.common.errors import DataError
from genmint.common.layout import META
from genmint.config import AudioDataset, Dataset, ImageDataset

if TYPE_CHECKING:
    from genmint.data.prepared import Prepared

# Keys of an entry that do not affect the arrays: location of the source, limits on invalid items,
# and evaluation of models. New keys count as affecting unless they are listed here.
NOT_OF_ARRAYS = frozenset(
    {"path", "max_quarantined", "max_near_duplicates", "reference", "protocol"}
)
# Keys that prepare uses and ingest does not.
NOT_OF_ITEMS = frozenset(
    {"split", "validation", "test", "confirmation", "near_duplicates", "stack", "min_count",
     "spectrogram"}
)  # fmt: skip


def settings_of_items(dataset: Dataset) -> dict[str, Any]:
    """Return the settings that a manifest depends on, by key, as JSON values."""
    hidden = set(NOT_OF_ARRAYS | NOT_OF_ITEMS)
    return dataset.model_dump(mode="json", exclude=hidden, exclude_none=True)


def settings_of_arrays(dataset: Dataset) -> dict[str, Any]:
    """Return the settings that prepared arrays depend on, by key, as JSON values."""
    return dataset.model_dump(mode="json", exclude=set(NOT_OF_ARRAYS), exclude_none=True)


def check_manifest(
    path: Path, recorded: Mapping[str, Any] | None, name: str, dataset: Dataset
) -> None:
    """Check that a manifest was made with the current settings.

    Args:
        path: path of the manifest.
        recorded: settings stored in the manifest, if any.
        name: name of the data set.
        dataset: data set entry.

    Raises:
        DataError: a setting differs; the message names it and the command that helps.
    """
    way_out = f"Run `dvc repro -f ingest@{name}`."
    refuse_difference(path, recorded, settings_of_items(dataset), f"datasets.{name}", way_out)


def check_prepared(prepared: Prepared, name: str, dataset: Dataset) -> None:
    """Check that prepared data have the right name and were made with the current settings.

    Raises:
        DataError: a setting differs, with the command that helps; or there are no prepared data.
    """
    path, meta = prepared.path / META, prepared.meta
    way_out = f"Run `dvc repro -f prepare@{name}`."
    if meta.dataset != name:
        raise DataError(f"{path}: belongs to {meta.dataset!r}, not to {name!r}. {way_out}")
    wanted = settings_of_arrays(dataset)
    recorded: dict[str, Any] = {"kind": meta.kind, "shape": list(meta.shape)}
    expected: dict[str, Any] = {"kind": dataset.kind, "shape": _shape(dataset, meta.shape)}
    if isinstance(dataset, AudioDataset):
        spectrogram = meta.spectrogram
        recorded["sample_rate"] = meta.sample_rate
        recorded["spectrogram"] = (
            None if spectrogram is None else spectrogram.model_dump(mode="json")
        )
        expected |= {key: wanted[key] for key in ("sample_rate", "spectrogram")}
    refuse_difference(path, recorded, expected, f"datasets.{name}", way_out)
    refuse_difference(path, meta.settings, wanted, f"datasets.{name}", way_out)


def refuse_difference(
    path: Path,
    recorded: Mapping[str, Any] | None,
    wanted: Mapping[str, Any],
    entry: str,
    way_out: str,
) -> None:
    """Check that an output was made with the current settings of an entry.

    Args:
        path: path of the output.
        recorded: settings stored in the output; None disables the check.
        wanted: settings of the entry.
        entry: name of the entry in params.yaml, such as `datasets.digits`.
        way_out: sentence with the command that makes the output again.

    Raises:
        DataError: a setting differs; the message names the first one.
    """
    if recorded is None:
        return
    differing = _difference(recorded, wanted)
    if differing is not None:
        key, before, now = differing
        raise DataError(
            f"{path}: was made with {key}: {_shown(before)}, and {entry} has {key}: "
            f"{_shown(now)}. {way_out}"
        )


def _difference(recorded: Any, wanted: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """Return the first key, dotted, whose values differ, with both values."""
    if not (isinstance(recorded, Mapping) and isinstance(wanted, Mapping)):
        return None if recorded == wanted else (key, recorded, wanted)
    for name in {**wanted, **recorded}:
        inner = f"{key}.{name}" if key else name
        difference = _difference(recorded.get(name), wanted.get(name), inner)
        if difference is not None:
            return difference
    return None


def _shown(value: Any) -> str:
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _shape(dataset: Dataset, shape: tuple[int, ...]) -> list[int]:
    """Return the expected shape of an item; `shape` gives channels that the images decide."""
    if isinstance(dataset, ImageDataset):
        channels = {"grey": 1, "rgb": 3, None: shape[0] if shape else 0}[dataset.mode]
        side = dataset.resolution
        return [channels if dataset.stack is None else dataset.stack.channels, side, side]
    return [dataset.samples_per_clip] if isinstance(dataset, AudioDataset) else []
