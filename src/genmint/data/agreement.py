"""Whether what a stage reads was made with the settings that params.yaml has now.

DVC decides what must run again. Where it is wrong, or a stage is run by hand on outputs of other
settings, the stage refuses: outputs carry the settings they were made with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genmint.config import AudioDataset, Dataset, ImageDataset
from genmint.errors import DataError

if TYPE_CHECKING:
    from genmint.data.prepared import Prepared

# Keys of an entry that change no array: where the source lies, what may enter, how models are
# judged. A new key counts as one that does, unless it is named here.
NOT_OF_ARRAYS = frozenset(
    {"path", "max_quarantined", "max_near_duplicates", "reference", "protocol"}
)
# Keys that prepare reads and ingest does not.
NOT_OF_ITEMS = frozenset(
    {"split", "validation", "test", "confirmation", "near_duplicates", "stack", "min_count",
     "spectrogram"}
)  # fmt: skip


def settings_of_items(dataset: Dataset) -> dict[str, Any]:
    """The settings that a manifest depends on, by key, as JSON has them."""
    hidden = set(NOT_OF_ARRAYS | NOT_OF_ITEMS)
    return dataset.model_dump(mode="json", exclude=hidden, exclude_none=True)


def settings_of_arrays(dataset: Dataset) -> dict[str, Any]:
    """The settings that prepared arrays depend on, by key, as JSON has them."""
    return dataset.model_dump(mode="json", exclude=set(NOT_OF_ARRAYS), exclude_none=True)


def check_manifest(path: Path, made: Mapping[str, Any] | None, name: str, dataset: Dataset) -> None:
    """Refuse a manifest that ingest made with other settings.

    Args:
        path: of the manifest.
        made: the settings that it carries, if any.
        name: of the data set.
        dataset: its entry.

    Raises:
        DataError: names the setting and the command that helps.
    """
    way_out = f"Run `dvc repro -f ingest@{name}`."
    refuse_difference(path, made, settings_of_items(dataset), f"datasets.{name}", way_out)


def check_prepared(prepared: Prepared, name: str, dataset: Dataset) -> None:
    """Refuse prepared data of another name, or that were made with other settings.

    Raises:
        DataError: names the setting and the command that helps; or there are no prepared data.
    """
    path, meta = prepared.path / "meta.json", prepared.meta
    way_out = f"Run `dvc repro -f prepare@{name}`."
    if meta.dataset != name:
        raise DataError(f"{path}: is of {meta.dataset!r}, not of {name!r}. {way_out}")
    wanted = settings_of_arrays(dataset)
    found: dict[str, Any] = {"kind": meta.kind, "shape": list(meta.shape)}
    expected: dict[str, Any] = {"kind": dataset.kind, "shape": _shape(dataset, meta.shape)}
    if isinstance(dataset, AudioDataset):
        spectrogram = meta.spectrogram
        found["sample_rate"] = meta.sample_rate
        found["spectrogram"] = None if spectrogram is None else spectrogram.model_dump(mode="json")
        expected |= {key: wanted[key] for key in ("sample_rate", "spectrogram")}
    refuse_difference(path, found, expected, f"datasets.{name}", way_out)
    refuse_difference(path, meta.settings, wanted, f"datasets.{name}", way_out)


def refuse_difference(
    path: Path, made: Mapping[str, Any] | None, wanted: Mapping[str, Any], entry: str, way_out: str
) -> None:
    """Refuse what was made with other settings than an entry has now.

    Args:
        path: of what was made.
        made: the settings that it carries; None where it carries none, which nothing can refuse.
        wanted: the settings of the entry.
        entry: its name in params.yaml, such as `datasets.digits`.
        way_out: the command that makes it anew, in a sentence.

    Raises:
        DataError: names the first setting that differs.
    """
    if made is None:
        return
    differing = _difference(made, wanted)
    if differing is not None:
        key, before, now = differing
        raise DataError(
            f"{path}: was made with {key}: {_shown(before)}, and {entry} has {key}: "
            f"{_shown(now)}. {way_out}"
        )


def _difference(made: Any, wanted: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """The first key, dotted, whose values differ, with both values."""
    if not (isinstance(made, Mapping) and isinstance(wanted, Mapping)):
        return None if made == wanted else (key, made, wanted)
    for name in {**wanted, **made}:
        inner = f"{key}.{name}" if key else name
        found = _difference(made.get(name), wanted.get(name), inner)
        if found is not None:
            return found
    return None


def _shown(value: Any) -> str:
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _shape(dataset: Dataset, found: tuple[int, ...]) -> list[int]:
    """The shape of an item; its channels are as found where the images decide on them."""
    if isinstance(dataset, ImageDataset):
        channels = {"grey": 1, "rgb": 3, None: found[0] if found else 0}[dataset.mode]
        side = dataset.resolution
        return [channels if dataset.stack is None else dataset.stack.channels, side, side]
    return [dataset.samples_per_clip] if isinstance(dataset, AudioDataset) else []
