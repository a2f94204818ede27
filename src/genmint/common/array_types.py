"""Types of arrays that several packages use."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# float64 array of any shape.
Floats = npt.NDArray[np.float64]

# Audio clips, int16 N×T.
Clips = npt.NDArray[np.int16]
