"""How the training data of a checkpoint were read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from memup_lightning.data.array_files import Columns
from memup_lightning.data.array_files.layout import Missing
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules.ranges.input_range import Range
from memup_lightning.specs import FieldType


def saved_reading(checkpoint: Mapping[str, Any]) -> Any:
    """Return what the datamodule of a run wrote into its checkpoint of how it reads; None where it reads no columns."""
    return next((x["reading"] for x in checkpoint.values() if isinstance(x, dict) and "reading" in x), None)


def parse_reading(reading: Any) -> tuple[Columns | None, Missing | None]:
    """Return how tables are read, without an outcome, and what replaces missing numbers; both None for data of other
    kinds.

    Args:
        reading: as :attr:`~memup_lightning.datamodules.ArrayDataModule.reading` has it.

    Raises:
        MemUPError: it is something else.
    """
    if reading is None:
        return None, None
    try:
        x, episode, time = reading["x"], reading["episode"], reading["time"]
        x_type, missing = reading["x_type"], reading["missing"]
        names = [*(x or ()), episode, *((time,) if time is not None else ())]
        sound = all(isinstance(name, str) for name in names) and x_type in get_args(FieldType)
        sound = sound and missing in (None, *get_args(Missing))
    except (KeyError, TypeError):
        sound = False
    if not sound:
        raise MemUPError(f"reading={reading!r:.80} does not say how tables are read; give that of an ArrayDataModule")
    columns = Columns(
        None if x is None else tuple(x), None, episode, x_type, None, time, missing is not None, may_lack_y=True
    )
    return columns, missing


def training_range(reading: Any) -> Range | None:
    """Return the smallest and the largest number of each component of x in training, ``[size]`` each; None where the
    reading, of an older checkpoint say, does not hold them."""
    try:
        low, high = (np.array(limit, np.float64) for limit in reading["range"])
    except (KeyError, TypeError, ValueError):
        return None
    return (low, high) if low.ndim == 1 and low.shape == high.shape else None
