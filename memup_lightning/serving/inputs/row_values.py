"""Values of a row, as JSON and Python have them, as numbers."""

from __future__ import annotations

import datetime
import decimal
import math
from typing import Any

import numpy as np

from memup_lightning.data.array_files.layout import Array
from memup_lightning.exceptions import MemUPError

_EPOCH = datetime.datetime(1970, 1, 1)
_FLOATS = (float, np.floating)
_MISSING_TYPES = ("NAType", "NaTType")  # of pandas, which need not be installed


def is_missing(value: Any) -> bool:
    """Return whether a value of a row stands for none: None, NaN, NA and NaT of pandas, masked."""
    if isinstance(value, str):  # most values that are looked at
        return False
    if isinstance(value, _FLOATS):
        return math.isnan(value)
    return value is None or value is np.ma.masked or type(value).__name__ in _MISSING_TYPES


def read_numbers(name: str, values: Any, is_time: bool) -> Array:
    """Return numbers or points in time (in seconds) as float64 ``[streams, width]``; NaN where they are missing.

    A time may be text, as JSON has it; a number may not, as in a table.

    Raises:
        MemUPError: names the column, and what it should hold.
    """
    array = np.asarray(values)
    if is_time and array.dtype.kind in "UO":
        array = np.array([_parsed(value) for value in values], object)
    if array.dtype.kind in "Mm":
        seconds = array.astype("datetime64[ns]" if array.dtype.kind == "M" else "timedelta64[ns]")
        array = np.where(np.isnat(seconds), np.nan, seconds.astype(np.int64) * 1e-9)
    elif array.dtype.kind == "O":
        array = np.array([_seconds(value) for value in array])
    if array.dtype.kind not in "iufb" or (is_time and array.dtype.kind == "b"):
        wanted = "times, such as 2026-01-31T08:00:00" if is_time else "numbers"
        wanted += ", not text" if array.dtype.kind in "US" and not is_time else ""
        shown = values[0] if isinstance(values, list) and len(values) == 1 else values
        raise MemUPError(f"{name!r} is {shown!r:.80}; give {wanted}")
    return array.astype(np.float64).reshape(len(array), -1)


def _parsed(value: Any) -> Any:
    """Return the point in time that a text names; other values, and text that names none, as they are."""
    if not isinstance(value, str):
        return value
    try:
        return datetime.datetime.fromisoformat(value)
    except ValueError:
        return value


def _seconds(value: Any) -> Any:
    if is_missing(value):
        return math.nan
    if isinstance(value, decimal.Decimal):  # of a database
        return float(value)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.UTC).replace(tzinfo=None)
        return (value - _EPOCH).total_seconds()
    if isinstance(value, datetime.date):
        return (datetime.datetime(value.year, value.month, value.day) - _EPOCH).total_seconds()
    return value
