"""What was made with other settings than params.yaml has now is refused, by name of the setting."""

import json
import re

import pytest
from pydantic import TypeAdapter

from genmint.common.errors import DataError
from genmint.common.files import write_json
from genmint.config import Dataset
from genmint.data import agreement
from genmint.data.agreement import settings_of_arrays, settings_of_items
from genmint.data.prepared import Meta, Prepared

ENTRIES = {
    "image": {"kind": "image", "path": "p", "resolution": 8},
    "audio": {"kind": "audio", "path": "p", "sample_rate": 4000, "seconds": 0.5},
    "text": {"kind": "text", "path": "p"},
}
SHAPES = {"image": [1, 8, 8], "audio": [2000], "text": []}


def entry(kind, **changed):
    text = json.dumps({**ENTRIES[kind], **changed})
    return TypeAdapter(Dataset).validate_json(text)


def prepared(folder, dataset, **changed):
    shape = SHAPES[dataset.kind]
    sound = {}
    if dataset.kind == "audio":
        spectrogram = dataset.spectrogram.model_dump(mode="json")
        sound = {"sample_rate": dataset.sample_rate, "spectrogram": spectrogram}
    meta = {"dataset": "d", "kind": dataset.kind, "items": {}, "shape": shape, "files": {},
            "settings": settings_of_arrays(dataset), **sound, **changed}  # fmt: skip
    folder.mkdir()
    write_json(folder / "meta.json", meta)
    Meta.model_validate_json(json.dumps(meta))
    return Prepared(folder)


@pytest.mark.parametrize(
    ("kind", "changed", "message"),
    [
        ("image", {"resolution": 16}, "shape: [1, 8, 8], and datasets.d has shape: [1, 16, 16]"),
        ("image", {"mode": "rgb"}, "shape: [1, 8, 8], and datasets.d has shape: [3, 8, 8]"),
        ("image", {"split": "position"}, "split: hash, and datasets.d has split: position"),
        ("image", {"test": 0.2}, "test: 0.1, and datasets.d has test: 0.2"),
        ("image", {"max_pixels": 9}, "max_pixels: 50000000, and datasets.d has max_pixels: 9"),
        ("image", {"labels": "folder"}, "labels: none, and datasets.d has labels: folder"),
        ("image", {"labels": "folder", "stack": {"items": 9}}, "datasets.d has shape: [3, 8, 8]"),
        ("audio", {"sample_rate": 8000}, "shape: [2000], and datasets.d has shape: [4000]"),
        ("audio", {"sample_rate": 8000, "seconds": 0.25}, "sample_rate: 4000, and datasets.d has"),
        ("audio", {"spectrogram": {"mels": 16}}, "spectrogram.mels: 32, and datasets.d has spectr"),
        ("audio", {"windows": "all"}, "windows: first, and datasets.d has windows: all"),
        ("text", {"min_count": 2}, "min_count: 1, and datasets.d has min_count: 2"),
    ],
)  # fmt: skip
def test_prepared_data_of_other_settings_are_refused(tmp_path, kind, changed, message):
    data = prepared(tmp_path / "d", entry(kind))
    agreement.check_prepared(data, "d", entry(kind))
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        agreement.check_prepared(data, "d", entry(kind, **changed))
    assert str(caught.value).endswith("Run `dvc repro -f prepare@d`.")


@pytest.mark.parametrize("kind", ENTRIES)
def test_what_changes_no_array_is_not_compared(tmp_path, kind):
    data = prepared(tmp_path / "d", entry(kind))
    later = {"path": "q", "max_quarantined": 0.5, "protocol": {"seed": 3}, "reference": {"seed": 3}}
    agreement.check_prepared(data, "d", entry(kind, **later))
    assert not {"path", "protocol"} & set(settings_of_arrays(entry(kind)))


def test_data_of_another_kind_or_name_are_refused(tmp_path):
    data = prepared(tmp_path / "d", entry("image"))
    with pytest.raises(DataError, match=r"kind: image, and datasets\.d has kind: text"):
        agreement.check_prepared(data, "d", entry("text"))
    with pytest.raises(DataError, match="belongs to 'd', not to 'e'"):
        agreement.check_prepared(data, "e", entry("image"))


def test_data_of_an_older_version_are_held_to_shape_and_kind(tmp_path):
    data = prepared(tmp_path / "d", entry("image"), settings=None)
    agreement.check_prepared(data, "d", entry("image", split="position"))
    with pytest.raises(DataError, match="shape"):
        agreement.check_prepared(data, "d", entry("image", resolution=9))


def test_a_manifest_depends_on_less_than_the_arrays():
    for kind in ENTRIES:
        of_items, of_arrays = settings_of_items(entry(kind)), settings_of_arrays(entry(kind))
        assert set(of_items) < set(of_arrays)
        assert "split" not in of_items
