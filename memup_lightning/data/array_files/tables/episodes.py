"""Episodes of a table: the rows that have the same value in a column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow
from pyarrow import compute

from memup_lightning.data.array_files.layout import Layout
from memup_lightning.data.array_files.tables.columns import ColumnReader
from memup_lightning.data.array_files.tables.files import TableColumns, column_content, plain
from memup_lightning.data.episodes import check_lengths
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import IntArray


def find_episodes(
    source: str, tables: TableColumns, name: str, time: str | None
) -> tuple[Layout, list[str], list[str]]:
    """Group the rows by a column, in the order in which its values come first.

    Args:
        source: the files, as messages name them.
        tables: the files.
        name: the column that says to which episode a row belongs.
        time: column that sorts the rows of an episode; None: they stay in the order of the file.

    Returns:
        The layout, the value of the column in each episode, and notes for the user.

    Raises:
        MemUPError: a row without an episode or time, values that are no number or text.
    """
    number, values = _numbers(source, tables, name)
    keys = [str(value) for value in values]
    lengths = check_lengths(np.bincount(number, minlength=len(keys)))
    layout = Layout(source, lengths, keys=keys)
    notes: list[str] = []
    together = int(np.count_nonzero(np.diff(number))) + 1 == len(keys)
    if time is not None:
        if column_content(tables.types[time]) == "text":
            raise MemUPError(
                f"{source}: time={time!r} holds {tables.types[time]}; give a column of times or of numbers "
                f"(pandas: table[{time!r}] = pandas.to_datetime(table[{time!r}]))"
            )
        seconds = ColumnReader(tables, layout, missing=True).seconds(time)
        if (empty := np.isnan(seconds)).any():
            raise MemUPError(
                f"{source}: time={time!r} is empty at row {int(empty.argmax())}; give the time of each row"
            )
        order = np.lexsort((seconds, number))
        if len(order) > len(keys) and not np.diff(seconds[order])[np.diff(number[order]) == 0].any():
            notes.append(
                f"time={time!r} is the same in all rows of each episode, so it sorts nothing: the rows stay in the file's "
                "order; give the column that holds the time of each row, or leave time out"
            )
        if not np.array_equal(order, np.arange(len(order))):
            layout = Layout(source, lengths, order=order, keys=keys)
    elif not together:
        layout = Layout(source, lengths, order=np.argsort(number, kind="stable"), keys=keys)
        notes.append(
            f"rows of an episode are apart from each other; they are joined by {name!r}, in the order of the file"
        )
    return layout, keys, notes


def _numbers(source: str, tables: TableColumns, name: str) -> tuple[IntArray, list[Any]]:
    """Return the episode of each row, and the value of each episode, in the order in which they come first."""

    numbers: dict[Any, int] = {}
    parts: list[IntArray] = []
    for begin, column in tables.column(name):
        column = plain(column)
        if pyarrow.types.is_nested(column.type):
            raise MemUPError(f"{source}: column {name!r} holds {column.type}; give a number or text for each episode")
        empty = compute.is_null(column, nan_is_null=True).to_numpy(zero_copy_only=False)
        if empty.any():
            raise MemUPError(
                f"{source}: column {name!r} is empty at row {begin + int(empty.argmax())}; name the episode of each row"
            )
        encoded = column.dictionary_encode()
        lookup = [numbers.setdefault(value, len(numbers)) for value in encoded.dictionary.to_pylist()]
        parts.append(np.array(lookup, np.int32)[encoded.indices.to_numpy()])
    return np.concatenate(parts or [np.zeros(0, np.int32)]), list(numbers)
