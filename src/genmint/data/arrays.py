"""Reading of array files without pickle and without trusting their declared size."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genmint.common.errors import DataError

# Exceptions of numpy and zipfile observed on damaged files. A header may claim more than memory can
# hold.
DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def load_array(path: Path, way_out: str, *, mapped: bool = False) -> npt.NDArray[Any]:
    """Load the array of an .npy file, memory-mapped read-only or in memory.

    Raises:
        DataError: the file is missing or damaged; the message ends with `way_out`.
    """
    try:
        array: npt.NDArray[Any] = np.load(
            path, mmap_mode="r" if mapped else None, allow_pickle=False
        )
    except FileNotFoundError:
        raise DataError(f"{path}: no such file. {way_out}") from None
    except DAMAGED as error:
        reason = " ".join((str(error) or type(error).__name__).split())[:200]
        raise DataError(f"{path}: not an array file ({reason}). {way_out}") from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: not an array file, but an archive. {way_out}")
    return array
