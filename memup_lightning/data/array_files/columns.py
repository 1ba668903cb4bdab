"""Conversion of users' columns to the arrays that are kept, block by block, with a check of every value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from memup_lightning.data.array_files.large_numbers import time_unit, times_as_numbers
from memup_lightning.data.array_files.layout import Array, Layout, UserEpisodes
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, MAX_MAGNITUDE
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldType
from memup_lightning.typing import Arrays, IntArray
from memup_lightning.user_warnings import option

_MAX_CLASS = 1 << 53  # floats hold the whole numbers up to here
_SHORT = 4  # steps of an episode, below which the size of a vector is theirs by chance
_ADVICE = {
    "O": "convert them to numbers or text, or name in x the columns that the memory reads",
    "U": "number its categories (numpy.unique(c, return_inverse=True)[1]), or write a table (parquet, csv), whose text is "
    "read as categories",
    "M": "give seconds as numbers (pandas: table[c].diff().dt.total_seconds() for those since the row before)",
    "c": "give real and imaginary parts as two columns",
}
_ADVICE |= {"S": _ADVICE["U"], "m": _ADVICE["M"]}


def convert_type(dtype: np.dtype[Any], type: FieldType | None) -> tuple[str, FieldType]:
    """Choose the dtype that is kept of a column, and its type where none is given."""
    type = type or ("vector" if dtype.kind == "f" else "token")
    if type == "token":
        return "int64", type
    return ("uint8" if type == "image" and dtype == np.uint8 else "float32"), type  # encoders scale bytes


def whole_from_zero(values: Array) -> int:
    """Return how many different numbers there are, if they are 0, 1, 2, ... without a gap; else 0."""
    found = np.unique(values)
    return len(found) if np.array_equal(found, np.arange(len(found))) else 0


def allocate(source: str, shape: tuple[int, ...], dtype: str) -> Array:
    """Make an array of zeros, which takes memory only as it is filled.

    Raises:
        MemUPError: it takes more memory than is available (as psutil reports it).
    """
    size, available = math.prod(shape) * np.dtype(dtype).itemsize, psutil.virtual_memory().available
    if size > available:
        raise MemUPError(
            f"{source}: its arrays take {size / 1e9:.3g} GB unpacked, but {available / 1e9:.3g} GB of memory are free; "
            "give fewer episodes, or write them to an EpisodeStore, which is read from disk"
        )
    return np.zeros(shape, dtype)


def check_one_an_episode(
    source: str, name: str, numbers: Sequence[int], lengths: IntArray, type: FieldType | None
) -> None:
    """Refuse outcomes that are one for each step but one, or one more, and would be read as a vector for each episode.

    Args:
        numbers: how many numbers y holds for each episode, ``[episodes]``.
        lengths: steps of each episode.
        type: of the outcome, where the user gave one; a ``vector`` of any size is meant.
    """
    over = np.asarray(numbers) - lengths
    if type == "vector" or lengths.min() < _SHORT or not (np.abs(over) == 1).all() or np.ptp(over):
        return
    word = "more" if over[0] > 0 else "less"
    raise MemUPError(
        f"{source}: {name!r} holds {numbers[0]} numbers for an episode of {lengths[0]} steps, one {word} than there are; "
        f"give an outcome for each step, or one for each episode ({option('data.y_type', 'vector')}, if each has a vector "
        "of so many numbers)"
    )


def check_numeric(source: str, name: str, kind: str, content: object) -> None:
    """Refuse a column that does not hold numbers.

    Args:
        kind: kind of its NumPy dtype.
        content: what it holds, as the message says it.
    """
    if kind not in "iufb":
        raise MemUPError(f"{source}: {name!r} holds {content}, not numbers; {_ADVICE.get(kind, 'give numbers')}")


def put(
    out: Array,
    begin: int,
    values: Array,
    name: str,
    layout: Layout,
    exists: npt.NDArray[np.bool_] | None = None,
    missing: bool | None = None,
    unknown: str | None = None,
) -> None:
    """Convert the next rows of a column.

    Args:
        out: float32, uint8 or int64 ``[rows, ...]``; written from row ``begin`` on.
        values: numbers, ``[n, ...]``.
        exists: rows that are checked and written, ``[n]``; None: all.
        missing: whether a number of x may be NaN, which is kept; None: the values are outcomes.
        unknown: what to do where an outcome is NaN, as the end of a sentence; None: as with infinite numbers.

    Raises:
        MemUPError: a value that is not finite, too large, or no class number, with its place.
    """
    target = out[begin : begin + len(values)]
    missing_allowed = bool(missing) and out.dtype == np.float32
    if out.dtype == np.int64:
        limits = (0.0, float(_MAX_CLASS))
    elif out.dtype == np.uint8 or (values.dtype.kind != "f" and values.dtype.itemsize < 8):
        limits = (-math.inf, math.inf)
    else:
        limits = (-MAX_MAGNITUDE, MAX_MAGNITUDE)
    bad = None
    if not values.size:
        return
    if not (values.min() >= limits[0] and values.max() <= limits[1]):  # False for NaN
        bad = ~((values >= limits[0]) & (values <= limits[1]))
        if missing_allowed:
            bad &= ~np.isnan(values)
    if out.dtype == np.int64 and values.dtype.kind == "f":
        bad = ~((values >= limits[0]) & (values <= limits[1]) & (values == np.floor(values)))
    if exists is not None and not exists.all():
        if bad is not None:
            bad &= exists.reshape(-1, *[1] * (values.ndim - 1))
        values = np.where(exists.reshape(-1, *[1] * (values.ndim - 1)), values, 0)
    if bad is not None and bad.any():
        row, *component = (int(index[0]) for index in bad.nonzero())
        value, entry = values[(row, *component)], component if values[0].size > 1 else ""
        is_time = out.dtype == np.float32 and missing is not None and np.isfinite(value)
        unit = time_unit(float(value)) if is_time else None
        raise MemUPError(
            f"{layout.source}: {name!r}{entry} of {layout.place(begin + row)} is {value!s}, "
            + (
                f"which {times_as_numbers(name, float(value), float(value), unit, bool(layout.keys))}"
                if unit is not None
                else _advice(value, out.dtype == np.int64, missing_advice() if missing is False else unknown)
            )
        )
    np.copyto(target, values, casting="unsafe")


def missing_advice() -> str:
    """Say what to do where a number of x is missing, as the end of a sentence."""
    mask, previous = option("data.missing", "mask"), option("data.missing", "previous")
    return (
        f"which is no number; train with {mask}, which fills in the column's mean and adds an input that says where, or "
        f"with {previous}, the last number of the episode; or fill it in, drop the rows, or leave the column out of x"
    )


def _advice(value: Any, is_class: bool, of_nan: str | None) -> str:
    if of_nan and np.isnan(value):
        return of_nan
    if not np.isfinite(value):
        return "which is not finite; fill it in or drop its episode"
    if not is_class:
        return f"but numbers may have a magnitude of {MAX_MAGNITUDE:g} at most; scale this column"
    read_numbers = f"{option('data.x_type', 'vector')} or {option('data.y_type', 'vector')}"
    if value < 0:
        return (
            "but classes are numbered from 0 on; renumber them (np.unique(y, return_inverse=True)[1]), set "
            f"{HAS_OUTCOME}=False where there is no outcome, or read numbers: {read_numbers}"
        )
    return f"which is no class number; give whole numbers from 0 on, or read numbers: {read_numbers}"


def put_flag(out: npt.NDArray[np.bool_], begin: int, values: Array, name: str, layout: Layout) -> None:
    """Convert the next rows of ``has_outcome`` or ``eval_mask``: booleans, or numbers that are 0 or 1."""
    if values.dtype.kind != "b":
        check_numeric(layout.source, name, values.dtype.kind, values.dtype)
        bad = (values != 0) & (values != 1)
        if bad.any():
            row = int(bad.argmax())
            raise MemUPError(
                f"{layout.source}: {name!r} of {layout.place(begin + row)} is {values[row]}; give true or false (1 or 0)"
            )
    out[begin : begin + len(values)] = values.astype(np.bool_)


def finish(
    layout: Layout, x: Array | None, y: Array, flags: Arrays, one_an_episode: bool, may_lack_y: bool = False
) -> UserEpisodes:
    """Put an outcome that each episode has one of at its last step, and check the flags.

    Args:
        x: ``[steps, ...]``.
        y: ``[steps, ...]``, or ``[episodes, ...]`` with ``one_an_episode``.
        flags: ``has_outcome`` and ``eval_mask`` where they were given, ``[steps]``.
        may_lack_y: whether there may be no outcome at all.
    """
    if one_an_episode:
        last = layout.offsets[1:] - 1
        steps = int(layout.offsets[-1])
        whole = np.zeros((steps, *y.shape[1:]), y.dtype)
        whole[last] = y
        at_end = np.zeros(steps, np.bool_)
        at_end[last] = True
        if HAS_OUTCOME in flags and (flags[HAS_OUTCOME] & ~at_end).any():
            row = int((flags[HAS_OUTCOME] & ~at_end).argmax())
            raise MemUPError(
                f"{layout.source}: {HAS_OUTCOME} is true in {layout.place(row)}, but y holds one outcome for each episode, "
                "which counts at its last step; give y for each step"
            )
        y, flags = whole, {HAS_OUTCOME: at_end, EVAL_MASK: at_end.copy()} | flags
    if HAS_OUTCOME in flags and not flags[HAS_OUTCOME].any() and not may_lack_y:
        raise MemUPError(f"{layout.source}: no step has an outcome, so there is nothing to learn; give outcomes")
    return UserEpisodes(x, y, layout.lengths, flags)
