"""Panels of the page about a model: map of the latents, nearest training items, audio clips."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

from genmint.reporting.charts import COLOURS, chart, svg_uri
from genmint.reporting.sample_files import contact_sheet, write_wav

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    from genmint.data.prepared import Prepared
    from genmint.models.shared.abilities import Encoder
    from genmint.models.shared.family import Family

# Items on the map; samples that are searched for copies, and that are shown; items beside each.
_MAPPED, _SEARCHED, _SUSPICIOUS, _BESIDE = 1000, 64, 6, 5
# Audio clips, and the bytes that all of them may add to the page.
_CLIPS, _BYTES = 8, 1_000_000
# Markers of the classes on the map.
_MARKERS = "osD^vP*X<>"
# Range of the colours of a spectrogram, in dB of squared counts per Hz.
_DECIBELS = (-60, 60)


def latent_map(model: Encoder, held_out: Tensor, labels: Tensor | None) -> dict[str, Any]:
    """Return a scatter plot of held-out items in the plane of largest variance of the latents.

    Args:
        model: the model.
        held_out: uint8 N×C×H×W.
        labels: int64 N of all items, for the colours; None if the data set has none.
    """
    from genmint.interpretability.latents import principal_plane

    classes = model.spec.labels or ()
    conditions = None if model.classes is None or labels is None else labels[:_MAPPED]
    z = model.encode(held_out[:_MAPPED], labels=conditions)[:, : model.latent]
    plane, share = principal_plane(z)
    with chart(5.6, 5.2) as (picture, axes):
        if labels is None or not classes:
            axes.scatter(plane[:, 0], plane[:, 1], s=12, alpha=0.8, color=COLOURS[0])
        else:
            for index, name in enumerate(classes):
                # Colour alone does not distinguish classes for everybody.
                rows = plane[labels[:_MAPPED] == index]
                axes.scatter(
                    rows[:, 0],
                    rows[:, 1],
                    s=18,
                    label=name,
                    color=f"C{index % 10}",
                    marker=_MARKERS[index % len(_MARKERS)],
                )
            picture.legend(loc="outside lower center", ncols=5, title="class")
        axes.set_xlabel("first principal component")
        axes.set_ylabel("second principal component")
        return {"map": svg_uri(picture), "map_share": share, "map_items": len(plane)}


def suspicious(model: Family, prepared: Prepared, seed: int) -> dict[str, Any]:
    """Return the samples that look most like copies, each beside its nearest training items."""
    from genmint.data.views import tensors
    from genmint.interpretability.neighbours import nearest_items

    data = tensors.load(prepared, "train", model.spec)
    if len(data) < 2:
        return {}
    samples = model.sample(_SEARCHED, seed=seed, labels=model.drawn_labels(_SEARCHED, seed))
    near = nearest_items(samples, data, _BESIDE)
    near_rows = []
    for row in range(min(_SUSPICIOUS, len(near.samples))):
        sample, beside = samples[near.samples[row]][None], data[near.items[row]]
        near_rows.append(
            {
                "sample": _sheet(sample.numpy()),
                "beside": _sheet(beside.numpy()),
                "ratio": float(near.ratios[row]),
            }
        )
    return {"near": near_rows}


def audio_clips(model: Family, seed: int) -> dict[str, Any]:
    """Return clips drawn from a model of audio, each with its spectrogram."""
    from genmint.serving.draws import draw, draw_arguments, to_clips

    rate = model.spec.sample_rate or 8000
    samples = draw(model, _CLIPS, seed=seed, arguments=draw_arguments(model, _CLIPS, options={}))
    assert not isinstance(samples, list)
    clips = to_clips(samples, model.spec)
    shown: list[dict[str, str]] = []
    size = 0
    for clip in clips:
        buffer = io.BytesIO()
        write_wav(clip[None], model.spec, buffer)
        size += buffer.tell()
        player = _uri(buffer.getvalue(), "audio/wav") if size <= _BYTES else ""
        shown.append({"player": player, "spectrogram": _spectrogram(clip, rate)})
    return {"clips": shown, "clip_seconds": clips.shape[1] / rate, "clip_rate": rate}


def _spectrogram(clip: npt.NDArray[np.int16], rate: int) -> str:
    """Return the spectrogram of a clip as a PNG data URI; low frequencies are at the bottom."""
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.mlab import specgram
    from PIL import Image

    # One count of noise: the logarithm of digital silence is not finite.
    waves = clip.astype("float64") + 1e-3
    power = np.asarray(specgram(waves, NFFT=256, noverlap=192, Fs=rate)[0])
    decibels = 10 * np.log10(power[::-1])
    low, high = _DECIBELS
    shares = np.clip((decibels - low) / (high - low), 0, 1)
    colours = np.asarray(colormaps["magma"](shares, bytes=True))
    buffer = io.BytesIO()
    Image.fromarray(colours[..., :3]).save(buffer, format="PNG")
    return _uri(buffer.getvalue(), "image/png")


def _sheet(grid: npt.NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    contact_sheet(grid, len(grid), smallest=56).save(buffer, format="PNG")
    return _uri(buffer.getvalue(), "image/png")


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
