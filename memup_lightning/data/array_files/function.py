"""Episodes that a user's function yields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from memup_lightning.data.array_files.columns import (
    allocate,
    check_numeric,
    check_one_an_episode,
    convert_type,
    finish,
    put,
)
from memup_lightning.data.array_files.large_numbers import LargeNumbers
from memup_lightning.data.array_files.layout import Array, Columns, Layout, UserEpisodes
from memup_lightning.data.episodes import HAS_OUTCOME, check_lengths
from memup_lightning.exceptions import MemUPError, user_code

EpisodeFunction = Callable[[], Iterable[tuple[Any, Any]]]
"""Yields each episode as ``(x, y)``: x ``[steps, ...]``, y ``[steps, ...]``, or one outcome for its last step."""

_SOURCE = "the function"
_UNKNOWN = (
    "which is not finite; fill it in or drop its episode. Only files mark steps without an outcome: in an npz file, "
    f"{HAS_OUTCOME!r} (bool, one a step) is false there"
)


def read_function(function: EpisodeFunction, columns: Columns) -> UserEpisodes:
    """Read all episodes that a function yields; raises as :func:`~memup_lightning.data.array_files.read_episodes` does."""
    xs: list[Array] = []
    ys: list[Array] = []
    for number, pair in enumerate(_episodes(function)):
        if not isinstance(pair, tuple) or len(pair) != 2:
            held = f" of {len(pair)}" if isinstance(pair, tuple) else ""
            raise MemUPError(
                f"episode {number} is a {type(pair).__name__}{held}; the function must yield tuples (x, y)"
            )
        x, y = (_array(value, f"{name} of episode {number}") for name, value in zip("xy", pair, strict=True))
        if not x.ndim:
            raise MemUPError(f"x of episode {number} is one number; give an array [steps, ...]")
        xs.append(x)
        ys.append(y)
    layout = Layout(_SOURCE, check_lengths([len(array) for array in xs]))
    each_step = [array.ndim > 0 and len(array) == length for array, length in zip(ys, layout.lengths, strict=True)]
    # An outcome of d components for the last step looks like one number for each of d steps in an episode of that length:
    # so all episodes together decide.
    one_an_episode = not all(each_step)
    if one_an_episode and all(array.ndim == 1 for array in ys):
        check_one_an_episode(_SOURCE, "y", [len(array) for array in ys], layout.lengths, columns.y_type)
    if one_an_episode:
        ys = [array[None] for array in ys]
    large = LargeNumbers()
    if columns.x_type == "vector":
        for array in xs:
            large.add("x", array)
    x = _concatenate(
        xs, "x", layout, convert_type(np.result_type(*{x.dtype for x in xs}), columns.x_type)[0], columns.missing
    )
    y_layout = Layout(_SOURCE, layout.lengths, whole_episodes=one_an_episode)
    y = _concatenate(
        ys, "y", y_layout, convert_type(np.result_type(*{y.dtype for y in ys}), columns.y_type)[0], None, _UNKNOWN
    )
    return replace(finish(layout, x, y, {}, one_an_episode), arrays=("x",), notes=large.notes())


def _episodes(function: EpisodeFunction) -> Iterator[Any]:
    with user_code("the function of the episodes", "it takes no argument and yields (x, y) for each episode"):
        yield from function()


def _array(value: Any, name: str) -> Array:
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
    except (ValueError, TypeError) as error:  # rows of different lengths
        raise MemUPError(f"{name} is no array: {error}; give numbers of one shape for each step") from error
    check_numeric(_SOURCE, name, array.dtype.kind, array.dtype)
    return array


def _concatenate(
    parts: list[Array], name: str, layout: Layout, dtype: str, missing: bool | None = None, unknown: str | None = None
) -> Array:
    """Join the parts, each of which is freed as it is copied."""
    shapes = sorted({part.shape[1:] for part in parts})
    if len(shapes) > 1:
        raise MemUPError(
            f"{name} has steps of shapes {', '.join(str(list(shape)) for shape in shapes)}; episodes may differ in "
            "length only (y: one for each step in all episodes, or one for the last step in all)"
        )
    out = allocate(layout.source, (layout.rows, *shapes[0]), dtype)
    begin = 0
    parts.reverse()
    while parts:
        part = parts.pop()
        put(out, begin, part, name, layout, missing=missing, unknown=unknown)
        begin += len(part)
    return out
