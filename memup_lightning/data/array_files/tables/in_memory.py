"""Tables and arrays in memory: pandas, polars and Arrow tables, dictionaries of columns or of arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from memup_lightning.data.array_files.columns import allocate, check_numeric, convert_type, finish, put
from memup_lightning.data.array_files.layout import Array, Columns, Layout, UserEpisodes
from memup_lightning.data.episodes import HAS_OUTCOME, check_lengths
from memup_lightning.exceptions import MemUPError, counted

LENGTHS = "lengths"
"""Entry of a dictionary of arrays: steps of each episode."""
TABLE = "the table"
"""What messages call a table in memory."""


def read_table(table: Any, columns: Columns, times: Iterable[str] = ()) -> UserEpisodes:
    """Read all episodes of a table in memory.

    Args:
        table: a pandas or polars DataFrame, a pyarrow Table, or a dictionary of columns.
        columns: what is read.
        times: columns of points in time, which may be text as a csv file has it; so may the column of ``columns.time``.

    Raises:
        MemUPError: another object; what :func:`~memup_lightning.data.array_files.read_episodes` raises.
    """
    try:
        from memup_lightning.data.array_files.tables.files import MemoryTable
        from memup_lightning.data.array_files.tables.table import read_tables  # pyarrow is an extra
        from memup_lightning.data.array_files.tables.text_times import parse_text_times
    except ImportError as error:
        raise MemUPError(f"tables need pyarrow: pip install 'memup-lightning[arrow]' ({error})") from error
    at = {*times, *filter(None, (columns.time,))}
    return read_tables(TABLE, lambda: MemoryTable(parse_text_times(_arrow(table), at), TABLE), columns)


def read_arrays(arrays: Mapping[str, Any], columns: Columns) -> UserEpisodes:
    """Read all episodes of arrays in memory, without an outcome.

    Args:
        arrays: those of x, of all episodes concatenated with their ``lengths``, or ``[episodes, steps, ...]``.
        columns: what is read.

    Raises:
        MemUPError: no such array, arrays that disagree, values that cannot be read.
    """
    names = columns.x or ("x",)
    if missing := [name for name in names if name not in arrays]:
        raise MemUPError(f"the arrays hold no {missing[0]!r}, but {', '.join(map(repr, arrays)) or 'nothing'}")
    given = {name: np.asarray(arrays[name]) for name in names}
    lengths, leading = episode_lengths(arrays, given)
    layout = Layout("the arrays", lengths)
    parts = []
    for name, array in given.items():
        check_numeric(layout.source, name, array.dtype.kind, array.dtype)
        rows = math.prod(array.shape[:leading]) if array.ndim >= leading else -1
        if rows != layout.rows:
            raise MemUPError(
                f"the arrays: {name!r} has shape {list(array.shape)}, but the episodes have "
                f"{counted(layout.rows, 'step')} together"
            )
        parts.append(array.reshape(rows, *array.shape[leading:]))
    x = parts[0] if len(parts) == 1 else np.concatenate([part.reshape(layout.rows, -1) for part in parts], 1)
    out = allocate(layout.source, x.shape, convert_type(x.dtype, columns.x_type)[0])
    put(out, 0, x, names[0], layout, missing=columns.missing)
    flags: dict[str, Array] = {HAS_OUTCOME: np.zeros(layout.rows, np.bool_)}
    return finish(layout, out, np.zeros(layout.rows, np.float32), flags, one_an_episode=False, may_lack_y=True)


def episode_lengths(arrays: Mapping[str, Any], given: Mapping[str, Array]) -> tuple[Any, int]:
    """Return the steps of each episode, and how many leading dimensions of the arrays are episodes and steps.

    Args:
        arrays: all that was given, with ``lengths`` or without.
        given: the arrays that are read.

    Raises:
        MemUPError: lengths that are none; without them, an array that is not ``[episodes, steps, ...]``.
    """
    if LENGTHS in arrays:
        return check_lengths(np.asarray(arrays[LENGTHS])), 1
    name, first = next(iter(given.items()))
    if first.ndim < 2:
        raise MemUPError(
            f"the arrays: {name!r} has shape {list(first.shape)}; without {LENGTHS!r} (steps of each episode) it must be "
            "[episodes, steps, ...]"
        )
    return check_lengths(np.full(first.shape[0], first.shape[1])), 2


def _arrow(table: Any) -> Any:
    import pyarrow

    if isinstance(table, pyarrow.Table):
        return table
    if isinstance(table, pyarrow.RecordBatch):
        return pyarrow.Table.from_batches([table])
    if isinstance(table, Mapping):
        return pyarrow.table({str(name): _column(str(name), values) for name, values in table.items()})
    if hasattr(table, "to_arrow"):  # polars
        return table.to_arrow()
    if type(table).__module__.split(".")[0] == "pandas" and hasattr(table, "columns"):
        if not all(isinstance(name, str) for name in table.columns):
            table = table.rename(columns=str)
        return pyarrow.Table.from_pandas(table, preserve_index=False)
    raise MemUPError(
        f"{type(table).__name__} is no table; give a path, a pandas, polars or pyarrow table, or a dictionary of columns"
    )


def _column(name: str, values: Any) -> Any:
    """Return a column of Arrow; NaN among text is missing, as pandas writes it.

    Raises:
        MemUPError: values of several types.
    """
    import pyarrow

    if isinstance(values, pyarrow.Array | pyarrow.ChunkedArray):
        return values
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    values = list(values) if isinstance(values, np.ndarray) and values.ndim > 1 else values
    try:
        return pyarrow.array(values, from_pandas=True)
    except (pyarrow.ArrowException, TypeError) as error:
        raise MemUPError(
            f"{TABLE}: {name!r} holds values that are no column: {error}; give numbers, texts or times, with None where "
            "one is missing"
        ) from error
