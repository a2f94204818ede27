"""Panels of the page about a model: map of the latents, nearest training items, audio clips."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

from genmint.reporting.sample_files import contact_sheet, write_wav

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from genmint.data.prepared import Prepared
    from genmint.models.shared.abilities import Encoder
    from genmint.models.shared.family import Family

# Items on the map; samples that are searched for copies, and that are shown; items beside each.
_MAPPED, _SEARCHED, _SUSPICIOUS, _BESIDE = 1000, 64, 6, 5
# Audio clips, and the bytes that all of them may add to the page.
_CLIPS, _BYTES = 8, 1_000_000


def latent_map(model: Encoder, held_out: Tensor, labels: Tensor | None) -> dict[str, Any]:
    """Return a scatter plot of held-out items in the plane of largest variance of the latents.

    Args:
        model: the model.
        held_out: uint8 N×C×H×W.
        labels: int64 N of all items, for the colours; None if the data set has none.
    """
    from matplotlib.figure import Figure

    from genmint.interpretability.latents import principal_plane

    classes = model.spec.labels or ()
    conditions = None if model.classes is None or labels is None else labels[:_MAPPED]
    z = model.encode(held_out[:_MAPPED], labels=conditions)[:, : model.latent]
    plane, share = principal_plane(z)
    picture = Figure(figsize=(7.5, 6), layout="constrained")
    axes = picture.add_subplot()
    if labels is None or not classes:
        axes.scatter(plane[:, 0], plane[:, 1], s=9, alpha=0.7)
    else:
        for index, name in enumerate(classes):
            # Colour alone does not distinguish classes for everybody.
            rows = plane[labels[:_MAPPED] == index]
            marker = "osD^vP*X<>"[index % 10]
            axes.scatter(rows[:, 0], rows[:, 1], s=14, alpha=0.7, label=name, marker=marker)
        axes.legend(frameon=False, bbox_to_anchor=(1, 1), loc="upper left", ncols=1 + index // 20)
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second principal component")
    return {"map": _png(picture), "map_share": share, "map_items": len(plane)}


def suspicious(model: Family, prepared: Prepared, seed: int) -> dict[str, Any]:
    """Return the samples that look most like copies, each beside its nearest training items."""
    import torch

    from genmint.data.views import tensors
    from genmint.interpretability.neighbours import nearest_items

    data = tensors.load(prepared, "train", model.spec)
    if len(data) < 2:
        return {}
    samples = model.sample(_SEARCHED, seed=seed, labels=model.drawn_labels(_SEARCHED, seed))
    near = nearest_items(samples, data, _BESIDE)
    rows = [
        torch.cat([samples[near.samples[row]][None], data[near.items[row]]])
        for row in range(_SUSPICIOUS)
    ]
    grid = torch.cat(rows)
    sheet = contact_sheet(grid.numpy(), len(rows[0]), smallest=40)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    ratios = [float(ratio) for ratio in near.ratios[:_SUSPICIOUS]]
    return {"near": _uri(buffer.getvalue(), "image/png"), "near_ratios": ratios}


def audio_clips(model: Family, seed: int) -> dict[str, Any]:
    """Return clips drawn from a model of audio, and a spectrogram of each."""
    from matplotlib.figure import Figure

    from genmint.serving.draws import draw, draw_arguments, to_clips

    rate = model.spec.sample_rate or 8000
    samples = draw(model, _CLIPS, seed=seed, arguments=draw_arguments(model, _CLIPS, options={}))
    assert not isinstance(samples, list)
    clips = to_clips(samples, model.spec)
    players: list[str] = []
    for clip in clips:
        buffer = io.BytesIO()
        write_wav(clip[None], model.spec, buffer)
        if sum(map(len, players)) + buffer.tell() > _BYTES:
            break
        players.append(_uri(buffer.getvalue(), "audio/wav"))
    picture = Figure(figsize=(10, 4.4), layout="constrained")
    for index, clip in enumerate(clips):
        axes = picture.add_subplot(2, _CLIPS // 2, index + 1)
        # One count of noise: the logarithm of digital silence is not finite.
        power = clip.astype("float64") + 1e-3
        axes.specgram(power, NFFT=256, noverlap=128, Fs=rate, cmap="magma", vmin=-60, vmax=60)
        axes.set_title(f"clip {index + 1}", fontsize=9)
        axes.tick_params(labelsize=7)
    picture.supxlabel("seconds", fontsize=9)
    picture.supylabel("Hz", fontsize=9)
    return {"players": players, "spectrograms": _png(picture)}


def _png(picture: Figure) -> str:
    buffer = io.BytesIO()
    picture.savefig(buffer, format="png", dpi=90)
    return _uri(buffer.getvalue(), "image/png")


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
