"""The probe set: what every version of a model is asked to draw, so that people can compare them.

The same noise, held-out items and prompts for each version, each with an id that does not depend on
the version. It is for looking at and listening to; no gate reads it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genmint.config import RNNConfig, Spectrogram
from genmint.data import views
from genmint.data.arrays import DAMAGED
from genmint.data.prepared import Prepared
from genmint.data.spec import DataSpec
from genmint.data.spectrogram import to_grid, to_sound
from genmint.errors import GenmintError
from genmint.models.family import Family
from genmint.models.rnn import RNN
from genmint.models.vae import VAE

PROBE = "probe.npz"

# Not a knob: with another seed no two versions would match. It differs from the usual seeds of a
# protocol, so that nobody looks at the very samples that were measured and calls it a second look.
SEED = 20_000

# Draws of images, draws of sound (which take seconds each in an RNN), held-out items, prompts.
_IMAGES, _CLIPS, _ITEMS, _PROMPTS = 24, 8, 8, 4
# Characters of a prompt, and of what is written after it.
_PROMPT, _CONTINUATION = 80, 320
# Symbols of a text that stand for no character.
_UNKNOWN, _DOCUMENT = 0, 1


@dataclass(frozen=True)
class Probe:
    """What one version of a model drew for the probe set.

    Attributes:
        ids: one per draw: `SET/SEED/z3/000` is the first of the points drawn in 3 dimensions,
            `SET/SEED/u4000/000` the first row of 4,000 uniform numbers, `SET/SEED/x1b2c3d4e` the
            prompt with that hash. A conditional model is asked for its classes in turn, and the
            name of the class ends the id: `SET/SEED/z3/000-five`.
        grids: uint8 N×C×H×W: pictures, or log-mel pictures of `clips`; None for text.
        clips: int16 N×T; sound only.
        rate: Hz; sound only.
        prompts: one held-out piece a draw; text only.
        texts: what the model wrote after each prompt; text only.
        item_ids: one per held-out item, `SET/SEED/x1b2c3d4e` after the hash of its content; VAE
            only.
        items: uint8 M×C×H×W.
        reconstructions: of the items, uint8 M×C×H×W.
    """

    ids: tuple[str, ...]
    grids: npt.NDArray[np.uint8] | None = None
    clips: npt.NDArray[np.int16] | None = None
    rate: int | None = None
    prompts: tuple[str, ...] | None = None
    texts: tuple[str, ...] | None = None
    item_ids: tuple[str, ...] = ()
    items: npt.NDArray[np.uint8] | None = None
    reconstructions: npt.NDArray[np.uint8] | None = None

    @property
    def kind(self) -> str:
        """image, audio or text."""
        if self.texts is not None:
            return "text"
        return "image" if self.clips is None else "audio"


def draw_probe(model: Family, prepared: Prepared) -> Probe:
    """Let a model draw for the probe set of a data set that it fits; the same bits every time.

    Held-out items and prompts are chosen by the hash of their content, so that a test split that
    grows changes few of them.

    Args:
        model: on its device.
        prepared: the data set.
    """
    spec, prefix = model.spec, f"{prepared.path.name}/{SEED}"
    if spec.kind == "text":
        assert isinstance(model, RNN)
        return _continuations(model, prepared, prefix)
    number = _IMAGES if spec.kind == "image" else _CLIPS
    names = () if model.classes is None else model.classes.names
    labels = torch.arange(number) % len(names) if names else None
    drawn = model.sample(number, seed=SEED, labels=labels).cpu()
    probe = _shown(drawn, spec, prepared)
    noise = f"u{drawn[0].numel()}" if spec.view == "sequence" else f"z{_latent(model)}"
    ends = [f"-{names[i % len(names)]}" if names else "" for i in range(number)]
    ids = tuple(f"{prefix}/{noise}/{i:03d}{end}" for i, end in enumerate(ends))
    probe = replace(probe, ids=ids)
    return _with_items(probe, model, prepared, prefix) if isinstance(model, VAE) else probe


def write_probe(folder: Path, probe: Probe) -> None:
    """Write probe.npz into `folder`, byte for byte the same for the same probe."""
    arrays: dict[str, Any] = {
        name: np.asarray(value) for name, value in vars(probe).items() if value is not None
    }
    np.savez(folder / PROBE, allow_pickle=False, **arrays)


def read_probe(path: Path) -> Probe:
    """Read it back.

    Raises:
        GenmintError: missing, damaged, or not a probe.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            found: dict[str, Any] = {name: stored[name] for name in stored.files}
        for name in ("ids", "prompts", "texts", "item_ids"):
            if name in found:
                found[name] = tuple(str(text) for text in found[name])
        if "rate" in found:
            found["rate"] = int(found["rate"])
        return Probe(**found)
    except FileNotFoundError:
        raise GenmintError(f"{path}: no such file. Run `dvc repro` to make it.") from None
    except DAMAGED as error:
        raise GenmintError(
            f"{path}: not a probe set ({error}). Run `dvc repro -f evaluate@{path.parent.name}`."
        ) from None


def common(first: Probe, second: Probe) -> tuple[Probe, Probe]:
    """Leave of two probes what has the same id in both, in the order of the first.

    Where nothing has (versions of different latent size, say), the part stays whole in both.
    """
    return _only(first, second), _only(second, first, order=first)


def _only(probe: Probe, other: Probe, order: Probe | None = None) -> Probe:
    order = order or probe
    draws = _positions(probe.ids, other.ids, order.ids)
    items = _positions(probe.item_ids, other.item_ids, order.item_ids)

    def take(values: Any, rows: list[int]) -> Any:
        if values is None:
            return None
        return tuple(values[i] for i in rows) if isinstance(values, tuple) else values[rows]

    return replace(
        probe,
        **{name: take(getattr(probe, name), draws) for name in ("ids", "grids", "clips")},
        **{name: take(getattr(probe, name), draws) for name in ("prompts", "texts")},
        **{name: take(getattr(probe, name), items) for name in ("item_ids", "items")},
        reconstructions=take(probe.reconstructions, items),
    )


def _positions(own: tuple[str, ...], other: tuple[str, ...], order: tuple[str, ...]) -> list[int]:
    shared = [each for each in order if each in own and each in other]
    return [own.index(each) for each in shared] if shared else list(range(len(own)))


def _latent(model: Family) -> int:
    assert not isinstance(model.config, RNNConfig)
    return model.config.latent


def _shown(drawn: Tensor, spec: DataSpec, prepared: Prepared) -> Probe:
    """What was drawn as pictures, and as sound with its pictures; without ids."""
    if spec.kind == "image":
        grids = drawn if spec.view == "grid" else views.from_symbols(drawn, spec)
        assert not isinstance(grids, list)
        return Probe((), grids=grids.numpy())
    rate = spec.sample_rate
    assert rate is not None
    if spec.view == "grid":
        assert spec.spectrogram is not None
        assert spec.samples is not None
        grids, clips = drawn, to_sound(drawn, spec.spectrogram, rate, spec.samples)
    else:
        sound = views.from_symbols(drawn, spec)
        assert not isinstance(sound, list)
        grids, clips = to_grid(sound, prepared.meta.spectrogram or Spectrogram(), rate), sound
    return Probe((), grids=grids.numpy(), clips=clips.numpy(), rate=rate)


def _with_items(probe: Probe, model: VAE, prepared: Prepared, prefix: str) -> Probe:
    """Add held-out items and what the model makes of them."""
    array = prepared.array("test")
    chosen = _lowest(_ITEMS, array)
    rows = list(chosen.values())
    items = torch.from_numpy(np.array(array[rows]))
    labels = views.labels_for(model.config, prepared, "test")
    if model.spec.kind == "audio":
        assert model.spec.spectrogram is not None
        assert model.spec.sample_rate is not None
        items = to_grid(items, model.spec.spectrogram, model.spec.sample_rate)
    return replace(
        probe,
        item_ids=tuple(f"{prefix}/x{digest[-8:]}" for digest in chosen),
        items=items.numpy(),
        reconstructions=model.reconstruct(
            items, labels=None if labels is None else labels[rows]
        ).numpy(),
    )


def _continuations(model: RNN, prepared: Prepared, prefix: str) -> Probe:
    """Let a model of text go on from held-out pieces."""
    # Where no document is long enough, the test split itself is the one prompt.
    stream = prepared.array("test")
    pieces = list(_pieces(stream)) or [stream[:_PROMPT]]
    chosen = _lowest(_PROMPTS, pieces)
    prompts = torch.from_numpy(np.stack([pieces[i] for i in chosen.values()]).astype(np.int64))
    drawn = model.sample(len(prompts), seed=SEED, length=_CONTINUATION, prompt=prompts)
    shown, written = views.from_symbols(prompts, model.spec), views.from_symbols(drawn, model.spec)
    return Probe(
        tuple(f"{prefix}/x{digest[-8:]}" for digest in chosen),
        prompts=tuple(shown),
        texts=tuple(written),
    )


def _pieces(stream: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Pieces of documents one after the other, those that are all characters."""
    begins = [*np.flatnonzero(stream == _DOCUMENT).tolist(), len(stream)]
    for begin, end in itertools.pairwise(begins):
        for start in range(begin + 1, end - _PROMPT + 1, _PROMPT):
            piece = stream[start : start + _PROMPT]
            if _UNKNOWN not in piece:
                yield piece


def _lowest(number: int, contents: Iterable[npt.NDArray[Any]]) -> dict[str, int]:
    """Hash → position of those whose hashes with the seed are lowest; equal contents count once."""
    salt = SEED.to_bytes(8, "big")
    digests = (hashlib.sha256(salt + content.tobytes()).digest()[:8] for content in contents)
    hashes = np.fromiter((int.from_bytes(each, "big") for each in digests), dtype=np.uint64)
    lowest, positions = np.unique(hashes, return_index=True)
    return {f"{int(h):016x}": int(p) for h, p in zip(lowest[:number], positions, strict=False)}
