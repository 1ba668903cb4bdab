"""Array types that the data wing, the environments and the callbacks share."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[Any]]
"""Arrays by the name of their field."""
Split = Literal["train", "val", "test"]
