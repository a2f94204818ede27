"""What a set decides for all of its images: number of channels, and the range of values."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from awkward.images import noise, png, saved
from genmint.common.errors import ConfigError
from genmint.data.prepared import SPLITS, Prepared

SIZE = 16
SPLIT = {"validation": 0.2, "test": 0.2, "confirmation": 0.0}
SETTINGS = {"kind": "image", "resolution": SIZE, "near_duplicates": 1.0, **SPLIT}


def deep(seed, bits, low=0):
    """Values of so many bits in a 16-bit PNG file, the lowest and the highest among them."""
    generator = np.random.default_rng([9, seed])
    values = generator.integers(low, 2**bits, (SIZE, SIZE, 1))
    values[0, 0], values[0, 1] = low, 2**bits - 1
    return values, png(values, 16, 0)


def written(project, files):
    for number, content in enumerate(files):
        project.write(f"{number:03d}.png").write_bytes(content)


def rows_of(project):
    return pq.read_table(project.project.manifest("own")).to_pylist()


def items_of(project):
    project.admit()
    project.prepare()
    prepared = Prepared(project.project.prepared("own"))
    return np.concatenate([prepared.array(split) for split in SPLITS])


def test_a_range_that_is_hardly_used_is_refused_with_what_to_set(data_project):
    written(data_project, (deep(k, 12)[1] for k in range(30)))
    data_project.block(**SETTINGS)
    with pytest.raises(ConfigError) as refused:
        data_project.ingest()
    message = str(refused.value)
    assert message.startswith("datasets.own.bits: not set, and the 30 files of 16 bits a value use")
    assert "values up to 4,095 of 65,535 only" in message
    for way_out in ("bits: 12", "bits: set", "bits: 16"):
        assert way_out in message
    assert not data_project.project.manifest("own").exists()


@pytest.mark.parametrize("bits", [12, "set", 16])
def test_every_way_out_of_that_message_works(data_project, bits):
    values = [deep(k, 12)[0] for k in range(30)]
    written(data_project, (png(each, 16, 0) for each in values))
    data_project.block(**SETTINGS, bits=bits)
    data_project.ingest()
    rows = rows_of(data_project)
    assert {(row["bits"], row["range_low"], row["range_high"]) for row in rows} == {(16, 0, 4095)}
    top = 65_535 if bits == 16 else 4095
    wanted = {np.rint(each[..., 0] * 255 / top).astype(np.uint8).tobytes() for each in values}
    assert {item[0].tobytes() for item in items_of(data_project)} == wanted


def test_the_range_of_a_set_spans_all_of_its_files(data_project):
    written(data_project, (deep(k, 10 + k % 3, low=300)[1] for k in range(30)))
    data_project.block(**SETTINGS, bits="set")
    data_project.ingest()
    items = items_of(data_project)
    assert (items.min(), items.max()) == (0, 255)
    brightest = sorted(item.max() for item in items)
    assert brightest[0] == round((1023 - 300) * 255 / (4095 - 300))
    # The manifest describes the items as they are prepared.
    assert {row["mean"] for row in rows_of(data_project)} == {
        round(float(item.mean()), 6) for item in items
    }


def test_a_value_beyond_the_bits_is_a_reason(data_project):
    written(data_project, [*(deep(k, 12)[1] for k in range(30)), deep(99, 13)[1]])
    data_project.block(**SETTINGS, bits=12)
    data_project.ingest()
    errors = {row["id"]: row["error"] for row in rows_of(data_project) if row["error"]}
    assert errors == {"030.png": "holds the value 8191, more than bits: 12 allows (4095)"}


def test_masks_of_a_few_values_in_8_bits_are_refused_too(data_project):
    written(data_project, (saved(noise(k)[..., 0] % 21, "PNG") for k in range(30)))
    data_project.block(**SETTINGS)
    with pytest.raises(ConfigError, match=r"30 files of 8 bits .* up to 20 of 255 .* bits: 5"):
        data_project.ingest()
    data_project.block(**SETTINGS, bits=5)
    data_project.ingest()
    assert items_of(data_project).max() == round(20 * 255 / 31)


def test_transparency_and_palettes_are_not_scaled(data_project):
    clear = np.dstack([noise(1)[..., 0] % 16, np.full((SIZE, SIZE), 255, np.uint8)])
    palette = Image.fromarray(noise(2)[..., 0] % 4).convert("P")
    palette.putpalette([0, 0, 0, 85, 85, 85, 170, 170, 170, 255, 255, 255])
    files = [saved(Image.fromarray(clear, "LA"), "PNG"), saved(palette, "PNG")]
    written(data_project, [*files, *(saved(noise(k)[..., 0] % 16, "PNG") for k in range(5, 33))])
    data_project.block(**SETTINGS, bits=4)
    data_project.ingest()
    first, second = (row["mean"] for row in rows_of(data_project)[:2])
    assert first == pytest.approx((noise(1)[..., 0] % 16).mean() * 17, abs=0.01)
    assert second == pytest.approx((noise(2)[..., 0] % 4).mean() * 85, abs=0.01)


def coloured(count, start=0):
    return [saved(noise(k), "PNG") for k in range(start, start + count)]


def grey(count, start=500):
    """Half of them stored as RGB, of equal channels."""
    flat = [noise(k)[..., 0] for k in range(start, start + count)]
    return [saved(np.dstack([each] * 3) if k % 2 else each, "PNG") for k, each in enumerate(flat)]


@pytest.mark.parametrize(
    ("files", "channels", "words"),
    [
        (coloured(30), 3, "30 of 30 images have colours, so all are taken with 3 channels (rgb)"),
        (grey(30), 1, "0 of 30 images have colours, so all are taken with 1 channel (grey)"),
        (coloured(1) + grey(29), 3, "1 of 30 images have colours, so all are taken with 3"),
    ],
)
def test_the_number_of_channels_is_that_of_the_images(data_project, capsys, files, channels, words):
    written(data_project, files)
    data_project.block(**SETTINGS)
    data_project.ingest()
    assert f"own: mode is not set; {words}" in capsys.readouterr().out
    items = items_of(data_project)
    assert items.shape == (30, channels, SIZE, SIZE)
    # The hash and the sketch of an item are those of what is prepared.
    sketches = {len(row["sketch"]) for row in rows_of(data_project)}
    assert sketches == {256 if channels == 1 else 288}


def test_a_mode_that_drops_colours_is_said(data_project, capsys):
    written(data_project, coloured(2) + grey(28))
    data_project.block(**SETTINGS, mode="grey")
    data_project.ingest()
    assert "own: 2 of 30 images have colours; mode: grey drops them" in capsys.readouterr().out
    assert items_of(data_project).shape == (30, 1, SIZE, SIZE)
    assert sum(row["colour"] > 0 for row in rows_of(data_project)) == 2


def test_stacks_of_coloured_images_are_refused(data_project):
    for number, content in enumerate(coloured(30)):
        data_project.write(f"{number % 2}/{number:03d}.png").write_bytes(content)
    stack = {"labels": "folder", "stack": {"items": 20}}
    data_project.block(**SETTINGS, **stack)
    with pytest.raises(ConfigError, match=r"own\.mode: .* 30 of 30 have colours: set mode: grey"):
        data_project.ingest()
    data_project.block(**SETTINGS, **stack, mode="grey")
    data_project.ingest()
    assert items_of(data_project).shape[1:] == (3, SIZE, SIZE)
