"""Types that several layers share."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[Any]]
"""Arrays by the name of their field."""
Split = Literal["train", "val", "test"]
State: TypeAlias = "Tensor | tuple[State, ...]"
"""State of all lanes: a tensor or a (nested) tuple of tensors, the lane dimension first in each."""
