"""The probe set: outputs that each version of a model generates from the same inputs.

Noise, held-out items and prompts are the same for each version. Each has an id that does not depend
on the version, so that people can compare versions. No gate uses the probe set.
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

from genmint.common.errors import GenmintError
from genmint.config import Spectrogram
from genmint.data.arrays import DAMAGED
from genmint.data.prepared import Prepared
from genmint.data.views import tensors
from genmint.data.views.spec import DataSpec
from genmint.data.views.spectrogram import to_grid, to_sound
from genmint.models.shared.abilities import Encoder, Reader
from genmint.models.shared.family import Family

PROBE = "probe.npz"

# Not a setting: versions with different seeds could not be compared. It differs from the usual
# seeds of a protocol, so that the probe set is independent of the samples that were measured.
SEED = 20_000

# Numbers of images, audio clips (an RNN takes seconds for each), held-out items and prompts.
_IMAGES, _CLIPS, _ITEMS, _PROMPTS = 24, 8, 8, 4
# Characters of a prompt and of its continuation.
_PROMPT, _CONTINUATION = 80, 320
# Token ids that represent no character.
_UNKNOWN, _DOCUMENT = 0, 1


@dataclass(frozen=True)
class ProbeOutput:
    """Output of one version of a model for the probe set.

    Attributes:
        ids: one per draw: `SET/SEED/z3/000` is the first of the points drawn in 3 dimensions,
            `SET/SEED/u4000/000` the first row of 4,000 uniform numbers, `SET/SEED/x1b2c3d4e` the
            prompt with that hash. A conditional model gets its classes cyclically, and the name of
            the class is appended to the id: `SET/SEED/z3/000-five`.
        grids: uint8 N×C×H×W: images, or log-mel spectrograms of `clips`; None for text.
        clips: int16 N×T; audio only.
        rate: sample rate in Hz; audio only.
        prompts: one held-out passage per draw; text only.
        texts: continuation of each prompt; text only.
        item_ids: one per held-out item, `SET/SEED/x1b2c3d4e` after the hash of its content; only
            for a model that encodes items.
        items: held-out items, uint8 M×C×H×W.
        reconstructions: reconstructions of the items, uint8 M×C×H×W.
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


def draw_probe(model: Family, prepared: Prepared) -> ProbeOutput:
    """Generate the probe set of a data set with a model that fits it; deterministic.

    Held-out items and prompts are selected by the hash of their content. A growing test split
    therefore changes few of them.

    Args:
        model: the model, on its device.
        prepared: the data set.
    """
    spec, prefix = model.spec, f"{prepared.path.name}/{SEED}"
    if spec.kind == "text":
        reader = model.as_reader
        assert reader is not None, "a family that takes text reads it"
        return _continuations(reader, prepared, prefix)
    number = _IMAGES if spec.kind == "image" else _CLIPS
    names = () if model.classes is None else model.classes.names
    labels = torch.arange(number) % len(names) if names else None
    drawn = model.sample(number, seed=SEED, labels=labels).cpu()
    probe = _shown(drawn, spec, prepared)
    ends = [f"-{names[i % len(names)]}" if names else "" for i in range(number)]
    ids = tuple(f"{prefix}/{model.noise_name}/{i:03d}{end}" for i, end in enumerate(ends))
    probe = replace(probe, ids=ids)
    encoder = model.as_encoder
    return probe if encoder is None else _with_items(probe, encoder, prepared, prefix)


def write_probe(folder: Path, probe: ProbeOutput) -> None:
    """Write probe.npz into `folder`; equal probes give identical bytes."""
    arrays: dict[str, Any] = {
        name: np.asarray(value) for name, value in vars(probe).items() if value is not None
    }
    np.savez(folder / PROBE, allow_pickle=False, **arrays)


def read_probe(path: Path) -> ProbeOutput:
    """Read a file written by `write_probe`.

    Raises:
        GenmintError: the file is missing, damaged, or not a probe.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
        for name in ("ids", "prompts", "texts", "item_ids"):
            if name in arrays:
                arrays[name] = tuple(str(text) for text in arrays[name])
        if "rate" in arrays:
            arrays["rate"] = int(arrays["rate"])
        return ProbeOutput(**arrays)
    except FileNotFoundError:
        raise GenmintError(f"{path}: no such file. Run `dvc repro` to make it.") from None
    except DAMAGED as error:
        raise GenmintError(
            f"{path}: not a probe set ({error}). Run `dvc repro -f evaluate@{path.parent.name}`."
        ) from None


def common(first: ProbeOutput, second: ProbeOutput) -> tuple[ProbeOutput, ProbeOutput]:
    """Reduce two probes to the entries with ids in both, in the order of the first.

    A part without common ids (for example if the latent sizes differ) is kept whole in both.
    """
    return _only(first, second), _only(second, first, order=first)


def _only(probe: ProbeOutput, other: ProbeOutput, order: ProbeOutput | None = None) -> ProbeOutput:
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


def _shown(drawn: Tensor, spec: DataSpec, prepared: Prepared) -> ProbeOutput:
    """Return draws as images, or as audio clips with their spectrograms; without ids."""
    if spec.kind == "image":
        grids = drawn if spec.view == "grid" else tensors.from_symbols(drawn, spec)
        assert not isinstance(grids, list)
        return ProbeOutput((), grids=grids.numpy())
    rate = spec.sample_rate
    assert rate is not None
    if spec.view == "grid":
        assert spec.spectrogram is not None
        assert spec.samples is not None
        grids, clips = drawn, to_sound(drawn, spec.spectrogram, rate, spec.samples)
    else:
        sound = tensors.from_symbols(drawn, spec)
        assert not isinstance(sound, list)
        grids, clips = to_grid(sound, prepared.meta.spectrogram or Spectrogram(), rate), sound
    return ProbeOutput((), grids=grids.numpy(), clips=clips.numpy(), rate=rate)


def _with_items(probe: ProbeOutput, model: Encoder, prepared: Prepared, prefix: str) -> ProbeOutput:
    """Add held-out items and their reconstructions."""
    array = prepared.array("test")
    chosen = _lowest(_ITEMS, array)
    rows = list(chosen.values())
    items = torch.from_numpy(np.array(array[rows]))
    labels = tensors.labels_for(model.config, prepared, "test")
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


def _continuations(model: Reader, prepared: Prepared, prefix: str) -> ProbeOutput:
    """Generate continuations of held-out passages with a model of text."""
    # If no document is long enough, the whole test split is the only prompt.
    stream = prepared.array("test")
    pieces = list(_pieces(stream)) or [stream[:_PROMPT]]
    chosen = _lowest(_PROMPTS, pieces)
    prompts = torch.from_numpy(np.stack([pieces[i] for i in chosen.values()]).astype(np.int64))
    drawn = model.go_on(prompts, seed=SEED, length=_CONTINUATION)
    shown, written = (
        tensors.from_symbols(prompts, model.spec),
        tensors.from_symbols(drawn, model.spec),
    )
    return ProbeOutput(
        tuple(f"{prefix}/x{digest[-8:]}" for digest in chosen),
        prompts=tuple(shown),
        texts=tuple(written),
    )


def _pieces(stream: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yield consecutive passages of documents that contain only characters."""
    begins = [*np.flatnonzero(stream == _DOCUMENT).tolist(), len(stream)]
    for begin, end in itertools.pairwise(begins):
        for start in range(begin + 1, end - _PROMPT + 1, _PROMPT):
            piece = stream[start : start + _PROMPT]
            if _UNKNOWN not in piece:
                yield piece


def _lowest(number: int, contents: Iterable[npt.NDArray[Any]]) -> dict[str, int]:
    """Return hash → position of the lowest seeded content hashes; equal contents count once."""
    salt = SEED.to_bytes(8, "big")
    digests = (hashlib.sha256(salt + content.tobytes()).digest()[:8] for content in contents)
    hashes = np.fromiter((int.from_bytes(each, "big") for each in digests), dtype=np.uint64)
    lowest, positions = np.unique(hashes, return_index=True)
    return {f"{int(h):016x}": int(p) for h, p in zip(lowest[:number], positions, strict=False)}
