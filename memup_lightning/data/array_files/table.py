"""Episodes in parquet and Arrow files, read batch by batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow
from pyarrow import compute

from memup_lightning.data.array_files.columns import allocate, check_numeric, convert_type, finish, put, put_flag
from memup_lightning.data.array_files.layout import Array, Columns, Layout, UserEpisodes
from memup_lightning.data.array_files.table_files import TableFiles
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, check_lengths
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldType
from memup_lightning.typing import Arrays, BoolArray


def read_tables(source: str, files: list[Path], base: Path | None, columns: Columns) -> UserEpisodes:
    """Read all episodes of the files, whose rows follow each other.

    Args:
        source: as the user gave it, for messages.
        files: all of one format, in their order.
        base: folder of a partitioned table, whose subfolders are named ``column=value``.
        columns: what is read.

    Raises:
        MemUPError: as :func:`~memup_lightning.data.array_files.read_episodes` does.
    """
    with _readable(source):
        tables = TableFiles(files, base)
        for name in (*columns.x, columns.y, columns.episode):
            if name not in tables.names:
                raise MemUPError(
                    f"{source} has no {name!r}; it holds {', '.join(map(repr, tables.names)) or 'nothing'}"
                )
        layout = _episodes(source, tables, columns.episode)
        reader = _Reader(tables, layout)
        x = reader.x(columns.x, columns.x_type)
        y, exists = reader.y(columns.y, columns.y_type)
        flags = reader.flags([name for name in (HAS_OUTCOME, EVAL_MASK) if name in tables.names])
        absent = flags.get(HAS_OUTCOME, exists) & ~exists
        if absent.any():
            raise MemUPError(
                f"{source}: {HAS_OUTCOME!r} is true, but {columns.y!r} is empty in {layout.place(int(absent.argmax()))}; "
                "give the outcome or say that there is none"
            )
        if not exists.all():
            flags.setdefault(HAS_OUTCOME, exists)
        return finish(layout, x, y, flags, one_an_episode=False)


@contextmanager
def _readable(source: str) -> Iterator[None]:
    """Refuse files that pyarrow cannot read."""
    try:
        yield
    except (OSError, pyarrow.ArrowException) as error:
        raise MemUPError(f"{source} cannot be read: {error}") from error


def _episodes(source: str, tables: TableFiles, name: str) -> Layout:
    """Find the episodes: runs of rows with the same value of the column."""
    values: list[Any] = []
    lengths: list[int] = []
    for begin, column in tables.column(name):
        column = _plain(column)
        if column.null_count:
            row = begin + int(column.is_valid().to_numpy(zero_copy_only=False).argmin())
            raise MemUPError(f"{source}: column {name!r} is empty at row {row}; name the episode of each row")
        if pyarrow.types.is_nested(column.type):
            raise MemUPError(f"{source}: column {name!r} holds {column.type}; give a number or text for each episode")
        if not len(column):
            continue
        runs = compute.run_end_encode(column, run_end_type=pyarrow.int64())
        sizes = np.diff(runs.run_ends.to_numpy(), prepend=0).tolist()
        for value, size in zip(runs.values.to_pylist(), sizes, strict=True):
            if values and values[-1] == value:
                lengths[-1] += size
            else:
                values.append(value)
                lengths.append(size)
    layout = Layout(source, check_lengths(lengths))
    seen: set[Any] = set()
    for number, value in enumerate(values):
        if value in seen:
            raise MemUPError(
                f"{source}: episode {value} continues at row {layout.offsets[number]}, after another one; sort the table "
                f"by {name!r} and by time (pandas: table.sort_values([{name!r}, 'time']))"
            )
        seen.add(value)
    return layout


class _Reader:
    """Reads columns as arrays."""

    def __init__(self, tables: TableFiles, layout: Layout) -> None:
        self.tables, self.layout, self.source = tables, layout, layout.source

    def x(self, names: tuple[str, ...], type: FieldType) -> Array:
        """Read x; several columns are joined to one vector a step."""
        firsts = [next(self._blocks(name))[1] for name in names]
        dtype = convert_type(np.result_type(*(first.dtype for first in firsts)), type)[0]
        shapes = [first.shape[1:] for first in firsts]
        widths = [math.prod(shape) for shape in shapes]
        one = len(names) == 1
        out = allocate(self.source, (self.layout.rows, *(shapes[0] if one else (sum(widths),))), dtype)
        end = 0
        for name, shape, width in zip(names, shapes, widths, strict=True):
            end += width
            part = out if one else out[:, end - width : end]
            for begin, values, exists in self._blocks(name):
                if not exists.all():
                    raise MemUPError(
                        f"{self.source}: column {name!r} is empty in {self.layout.place(begin + int(exists.argmin()))}; "
                        "only the outcome may be left out: fill it in (pandas: table[c].interpolate()) or drop the rows"
                    )
                self._check_shape(name, begin, shape, values)
                put(part, begin, values if one else values.reshape(len(values), -1), name, self.layout)
        return out

    def y(self, name: str, type: FieldType | None) -> tuple[Array, BoolArray]:
        """Read the outcome, and where it is not null."""
        out: Array | None = None
        every = np.zeros(self.layout.rows, np.bool_)
        for begin, values, exists in self._blocks(name):
            every[begin : begin + len(exists)] = exists
            if not exists.any():
                continue
            if out is None:
                shape = (self.layout.rows, *values.shape[1:])
                out = allocate(self.source, shape, convert_type(values.dtype, type)[0])
            self._check_shape(name, begin, out.shape[1:], values)
            put(out, begin, values, name, self.layout, exists)
        if out is None:
            raise MemUPError(f"{self.source}: column {name!r} is empty in every row; give outcomes")
        return out, every

    def flags(self, names: list[str]) -> Arrays:
        out: Arrays = {}
        for name in names:
            out[name] = np.zeros(self.layout.rows, np.bool_)
            for begin, values, exists in self._blocks(name):
                if not exists.all():
                    place = self.layout.place(begin + int(exists.argmin()))
                    raise MemUPError(f"{self.source}: column {name!r} is empty in {place}; give true or false")
                put_flag(out[name], begin, values, name, self.layout)
        return out

    def _blocks(self, name: str) -> Iterator[tuple[int, Array, BoolArray]]:
        """Yield the first row, the values ``[rows, ...]`` (0 where null), and where they are not null."""
        for begin, column in self.tables.column(name):
            if len(column):
                exists = column.is_valid().to_numpy(zero_copy_only=False)
                yield begin, self._values(name, begin, _plain(column), exists), exists

    def _values(self, name: str, begin: int, column: Any, exists: BoolArray) -> Array:
        dtype, types = column.type, pyarrow.types
        if types.is_list(dtype) or types.is_large_list(dtype) or types.is_fixed_size_list(dtype):
            return self._lists(name, begin, column, exists)
        if types.is_null(dtype):
            return np.zeros(len(column))
        if types.is_decimal(dtype):
            column = column.cast(pyarrow.float64())
        elif not (types.is_integer(dtype) or types.is_floating(dtype) or types.is_boolean(dtype)):
            check_numeric(self.source, name, _numpy_kind(dtype), dtype)
        if column.null_count:
            column = column.fill_null(False if types.is_boolean(dtype) else 0)
        values: Array = column.to_numpy(zero_copy_only=False)
        return values

    def _lists(self, name: str, begin: int, column: Any, exists: BoolArray) -> Array:
        """Return the lists of one length as ``[rows, length, ...]``."""
        lengths = compute.list_value_length(column.drop_null()).to_numpy(zero_copy_only=False)
        if len(lengths) == 0:
            return np.zeros((len(column), 0))
        if (lengths != lengths[0]).any():
            row = begin + int(np.flatnonzero(exists)[(lengths != lengths[0]).argmax()])
            raise MemUPError(
                f"{self.source}: the lists of column {name!r} differ in length ({lengths[0]}, and "
                f"{lengths[lengths != lengths[0]][0]} in {self.layout.place(row)}); each step needs as many numbers"
            )
        width = int(lengths[0])
        inner = _plain(column.drop_null().flatten())
        there = inner.is_valid().to_numpy(zero_copy_only=False)
        if not there.all():
            row = begin + int(np.flatnonzero(exists)[int(there.argmin()) // width])
            raise MemUPError(
                f"{self.source}: {name!r}[{int(there.argmin()) % width}] of {self.layout.place(row)} is empty; fill it in, "
                "or make the whole list null where there is no outcome"
            )
        values = self._values(name, begin, inner, there)
        out = np.zeros((len(column), width, *values.shape[1:]), values.dtype)
        out[exists] = values.reshape(len(lengths), width, *values.shape[1:])
        return out

    def _check_shape(self, name: str, begin: int, shape: tuple[int, ...], values: npt.NDArray[Any]) -> None:
        if values.shape[1:] != shape:
            raise MemUPError(
                f"{self.source}: the lists of column {name!r} differ in length ({list(shape)}, {list(values.shape[1:])} "
                f"from row {begin} on); each step needs as many numbers"
            )


def _plain(column: Any) -> Any:
    """Return the values without dictionary encoding or extension type."""
    if pyarrow.types.is_dictionary(column.type):
        return column.dictionary_decode()
    return column.storage if isinstance(column.type, pyarrow.ExtensionType) else column


def _numpy_kind(dtype: Any) -> str:
    """Return the kind of the NumPy dtype for an Arrow type that holds no numbers."""
    types = pyarrow.types
    if types.is_temporal(dtype):
        return "M"
    return "U" if types.is_string(dtype) or types.is_large_string(dtype) or types.is_string_view(dtype) else "O"
