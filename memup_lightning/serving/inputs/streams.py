"""Whether the values of a step are those of the streams of its state: as many, and of the same episodes."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from memup_lightning.data.array_files.layout import Array
from memup_lightning.exceptions import MemUPError
from memup_lightning.serving.inputs.row_values import is_missing

NO_EPISODE = 0
"""Stands for the episode of a stream whose rows did not name it."""


def check_streams(name: str, values: Any, streams: int) -> None:
    """Refuse values that are not one for each stream.

    Raises:
        MemUPError: how many there are, and how many streams.
    """
    try:
        number = None if isinstance(values, str) else len(values)
    except TypeError:
        number = None
    if number != streams:
        found = "one value" if number is None else f"values of {number} streams"
        raise MemUPError(
            f"{name!r} holds {found}, and the state {streams} streams; give one for each (initial_state(streams) sets how "
            "many)"
        )


def check_episodes(row: Mapping[str, Any], name: str, before: Array, single: bool) -> Array:
    """Refuse a row of another episode than the rows before it in its stream.

    Args:
        row: columns of the step; the one that says to which episode it belongs may be absent.
        name: of that column.
        before: checksums of the episodes of the streams, int64 ``[streams]``.
        single: whether the row is of one stream.

    Returns:
        Their checksums after the row.

    Raises:
        MemUPError: the value of the first stream that differs.
    """
    if name not in row:
        return before
    values = [row[name]] if single else row[name]
    check_streams(name, values, len(before))
    here = [NO_EPISODE if is_missing(value) else 1 + zlib.crc32(_named(value).encode()) for value in values]
    if len(here) == 1 and here[0] == before[0]:  # as nearly always, where the cost of arrays counts
        return before
    after = np.where(np.array(here) == NO_EPISODE, before, here)
    if (changed := (before != NO_EPISODE) & (after != before)).any():
        stream = int(changed.argmax())
        where = "" if single else f" in stream {stream}"
        raise MemUPError(
            f"the row{where} is of {name!r} {values[stream]!r:.80}, and the state of another one; begin with "
            "initial_state(), or name by is_first the streams that begin a new episode"
        )
    return after


def _named(value: Any) -> str:
    """Return an id as text: 7 of a table, 7.0 of a column with gaps and '7' of a request are one."""
    return str(int(value)) if isinstance(value, float | np.floating) and float(value).is_integer() else str(value)
