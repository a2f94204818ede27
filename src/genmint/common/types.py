"""Types that several packages use."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

# Kind of the items of a data set.
Kind = Literal["image", "audio", "text"]

# float64 array of any shape.
Floats = npt.NDArray[np.float64]

# Audio clips, int16 N×T.
Clips = npt.NDArray[np.int16]
