"""Code lengths of lossless codecs on the test items: baselines of likelihoods."""

from __future__ import annotations

import math

import numpy as np
from PIL import features
from torch import Tensor

from genmint.common.array_types import Floats
from genmint.data.prepared import Prepared
from genmint.data.views import tensors
from genmint.evaluation.baselines import BaselineScores
from genmint.evaluation.reference import Baseline
from genmint.metrics.codecs import flac_bits, png_bits, webp_bits, webp_mosaic_bits, xz_bits
from genmint.metrics.likelihood import BOUNDARY, CHARACTERS, UNKNOWN, mean_and_stderr
from genmint.metrics.resampling import Rows, evenly_spaced

# Values that are coded at most; about a minute of WebP.
_VALUES = 1 << 25


def grid_codecs(test: Tensor) -> BaselineScores:
    """Return the code lengths of 8-bit grids as image files, in bits per dimension.

    `png` and `webp` are files of one grid each, with a standard error over the test items;
    `webp_mosaic` is one file of all. They code the same random variable as a model of 8-bit pixels,
    so none of them applies to models of binary pixels. Of a large test split, evenly spaced items
    with at most 2^25 values are coded, and there is no mosaic.

    Args:
        test: test split, uint8 N×C×H×W.

    Returns:
        Baselines by metric and name; empty for other than one or three channels.
    """
    if test.shape[1] not in (1, 3):
        return {}
    dims = math.prod(test.shape[1:])
    chosen = _chosen(len(test), dims)
    grids = test.numpy()[chosen]
    table = {"png": _mean(png_bits(grids), dims)}
    if features.check("webp"):
        table["webp"] = _mean(webp_bits(grids), dims)
        mosaic = webp_mosaic_bits(grids) if len(chosen) == len(test) else None
        if mosaic is not None:
            table["webp_mosaic"] = Baseline(value=mosaic / test.numel())
    return {
        "bits_per_dim": {
            name: entry.model_copy(update={"observation": "8bit"}) for name, entry in table.items()
        }
    }


def sequence_codecs(prepared: Prepared) -> BaselineScores:
    """Return the code lengths of the symbols of a sequence model.

    Clips: `flac` and `xz` of the μ-law symbols of each clip, in bits per sample. Text: `xz` of the
    tokens of the test split as one file, in bits per character; as for a model, each `<unk>` costs
    the choice among all other characters as well, and document boundaries are free. Images in
    raster order have the codecs of grids.
    """
    spec = prepared.spec("sequence")
    if spec.kind == "image":
        return {}
    test = tensors.load(prepared, "test", spec).numpy()
    if spec.kind == "text":
        assert spec.symbols is not None
        kept = test[1:][test[1:] != BOUNDARY]
        others = math.log2(max(1, CHARACTERS - (spec.symbols - 2)))
        bits = xz_bits(kept) + others * np.count_nonzero(kept == UNKNOWN)
        return {"bits_per_character": {"xz": Baseline(value=bits / len(kept))}}
    assert spec.sample_rate is not None
    clips = test[_chosen(len(test), test.shape[1])]
    table = {
        "flac": _mean(flac_bits(clips, spec.sample_rate), test.shape[1]),
        "xz": _mean(np.array([xz_bits(clip) for clip in clips]), test.shape[1]),
    }
    return {"bits_per_sample": table}


def _chosen(items: int, values: int) -> Rows:
    """Return indices of the items that are coded, evenly spaced; all if they are few enough."""
    return evenly_spaced(items, max(2, _VALUES // values))


def _mean(bits: Floats, symbols: int) -> Baseline:
    value, stderr = mean_and_stderr(bits)
    return Baseline(value=value / symbols, stderr=stderr / symbols)
