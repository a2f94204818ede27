"""Export of samples and latent coordinates of a model to files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genmint.common.errors import ConfigError
from genmint.common.files import atomic_path, check_folder
from genmint.common.project import Project
from genmint.config import Params, Protocol
from genmint.registry.loading import open_model

if TYPE_CHECKING:
    from io import BytesIO

    import numpy as np
    import numpy.typing as npt
    import PIL.Image
    from torch import Tensor

    from genmint.data.views.spec import DataSpec


_FORMATS = (".png", ".wav", ".txt", ".jsonl", ".npy")


@dataclass(frozen=True)
class SampleRequest:
    """Which samples are drawn from a model.

    Attributes:
        n: number of samples.
        seed: the same seed gives the same samples.
        length: symbols of a text; None: as many as the data set's protocol says.
        label: class of the samples of a conditional model; None: all, with the shares of its data.
        options: some of `family.SAMPLING_OPTIONS`; a text begins with its prompt.
    """

    n: int
    seed: int
    length: int | None = None
    label: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def sample_to_file(
    project: Project,
    params: Params,
    target: str,
    out: Path,
    request: SampleRequest,
    *,
    allow_refused: bool = False,
) -> None:
    """Draw samples and write them in the format of the suffix of `out`.

    An array (.npy) has decoded values: uint8 N×C×H×W of images and spectrograms, int16 N×T of audio
    drawn sample by sample, N strings of texts.

    Raises:
        ConfigError: the folder of `out` does not exist; the suffix does not fit the kind of sample;
            or the model does not support an option.
        GenmintError: see `genmint.registry.loading.open_model`.
    """
    if out.suffix not in _FORMATS:
        raise ConfigError(f"{out}: end the name in {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}")
    check_folder(out, "--out")
    from genmint.serving.draws import draw, draw_arguments

    with open_model(project, target, allow_refused=allow_refused) as (_, model):
        spec = model.spec
        fits = _endings(spec)
        if out.suffix not in fits:
            raise ConfigError(f"{out}: {target} makes {spec.kind}; use {' or '.join(fits)}")
        length = request.length
        if length is not None and spec.shape:
            raise ConfigError(f"--length: {spec.dataset} has items of a fixed length; leave it out")
        if length is None and not spec.shape:
            block = params.datasets.get(spec.dataset)
            length = block.protocol.text_length if block else Protocol().text_length
        how = draw_arguments(
            model, request.n, length=length, label=request.label, options=request.options
        )
        samples = draw(model, request.n, seed=request.seed, arguments=how)
    with atomic_path(out.resolve()) as temporary:
        write_samples(samples, spec, temporary, out.suffix)


def encode_to_file(project: Project, target: str, out: Path, *, allow_refused: bool = False) -> int:
    """Write the latents of every prepared item, as an encoder finds them; returns the rows' number.

    Columns: split, item (position in the split's array), label (if any), z_0 … z_{latent−1}
    (float32).

    Raises:
        ConfigError: the folder of `out` does not exist, its ending is not .parquet or .csv, or the
            model has no encoder.
        GenmintError: see `genmint.registry.loading.open_model`; or the data set is not prepared.
    """
    if out.suffix not in (".parquet", ".csv"):
        raise ConfigError(f"{out}: end the name in .parquet or .csv")
    check_folder(out, "--out")
    import pandas as pd

    from genmint.data.prepared import SPLITS, Prepared
    from genmint.data.views import tensors

    parts = []
    with open_model(project, target, allow_refused=allow_refused) as (name, model):
        encoder = model.as_encoder
        if encoder is None:
            raise ConfigError(f"{name} is not a VAE: only an auto-encoder has an encoder")
        prepared = Prepared(project.prepared(model.spec.dataset))
        for split in SPLITS:
            if not prepared.meta.items.get(split):
                continue
            data = tensors.load(prepared, split, model.spec)
            known = tensors.labels_for(model.config, prepared, split)
            z = encoder.encode(data, labels=known).numpy()
            part = pd.DataFrame(z, columns=[f"z_{i}" for i in range(z.shape[1])])
            labels = prepared.labels(split)
            if labels is not None:
                names = prepared.meta.labels or ()
                part.insert(0, "label", [names[i] for i in labels])
            part.insert(0, "item", range(len(part)))
            part.insert(0, "split", split)
            parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    with atomic_path(out.resolve()) as temporary:
        if out.suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, index=False)
    return len(table)


def _endings(spec: DataSpec) -> tuple[str, ...]:
    if spec.kind == "image":
        return (".png", ".npy")
    if spec.kind == "text":
        return (".txt", ".jsonl", ".npy")
    return (".wav", ".png", ".npy") if spec.view == "grid" else (".wav", ".npy")


def write_samples(samples: Tensor | list[str], spec: DataSpec, path: Path, ending: str) -> None:
    """Write samples, as `genmint.serving.draws.draw` returns them, in the format of an ending."""
    import numpy as np

    if ending == ".npy":
        with path.open("wb") as stream:
            np.save(stream, np.asarray(samples), allow_pickle=False)
    elif isinstance(samples, list):
        path.write_text(_joined(samples, ending), encoding="utf-8")
    elif ending == ".png":
        _write_png(samples.numpy(), path)
    else:
        from genmint.serving.draws import to_clips

        write_wav(to_clips(samples, spec), spec, path)


def _joined(texts: list[str], ending: str) -> str:
    if ending == ".txt":
        return "\n\n".join(texts) + "\n"
    return "".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts)


def _write_png(grid: npt.NDArray[np.uint8], path: Path) -> None:
    """Write an approximately square contact sheet."""
    import math

    contact_sheet(grid, math.ceil(math.sqrt(len(grid)))).save(path, format="PNG")


def contact_sheet(
    grid: npt.NDArray[np.uint8], columns: int, *, smallest: int = 32
) -> PIL.Image.Image:
    """Return images, uint8 N×C×H×W, as a contact sheet with grey lines between them.

    Small images are enlarged by an integer factor, so that their shorter side has at least
    `smallest` pixels.
    """
    import math

    import numpy as np
    from PIL import Image

    n, channels, height, width = grid.shape
    rows = math.ceil(n / columns)
    zoom = max(1, math.ceil(smallest / min(height, width)))
    sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, channels), 128, np.uint8)
    for i, picture in enumerate(grid):
        y, x = 1 + i // columns * (height + 1), 1 + i % columns * (width + 1)
        sheet[y : y + height, x : x + width] = picture.transpose(1, 2, 0)
    image = Image.fromarray(sheet[..., 0] if channels == 1 else sheet)
    size = (image.width * zoom, image.height * zoom)
    return image.resize(size, Image.Resampling.NEAREST)


def write_wav(clips: npt.NDArray[np.int16], spec: DataSpec, path: Path | BytesIO) -> None:
    """Write clips in sequence to a file, separated by an eighth of a second of silence."""
    import numpy as np
    import soundfile

    rate = spec.sample_rate or 8000
    pause = np.zeros(rate // 8, np.int16)
    strip = np.concatenate([part for clip in clips for part in (clip, pause)][:-1])
    soundfile.write(path, strip, rate, subtype="PCM_16", format="WAV")
