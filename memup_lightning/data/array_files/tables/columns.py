"""Columns of a table as arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow
from pyarrow import compute

from memup_lightning.data.array_files.columns import (
    allocate,
    check_numeric,
    convert_type,
    put,
    put_flag,
)
from memup_lightning.data.array_files.large_numbers import LargeNumbers
from memup_lightning.data.array_files.layout import Array, Layout, TextColumn
from memup_lightning.data.array_files.tables.files import TableColumns, column_content, plain
from memup_lightning.data.array_files.tables.gaps import describe_gaps
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldType
from memup_lightning.typing import Arrays, BoolArray, IntArray

_UNKNOWN = (
    "which is not finite; leave it empty (null) where it is not known (polars: column.fill_nan(None)), or fill it in"
)


class ColumnReader:
    """Reads columns as arrays, in the order of the file.

    Args:
        tables: the files.
        layout: which episode and step a row belongs to.
        missing: whether values of x may be missing.
        inputs: names of the columns of x, whose gaps are counted where there may be none.

    Attributes:
        notes: what the user should know of the columns.
    """

    def __init__(self, tables: TableColumns, layout: Layout, missing: bool, inputs: Sequence[str] = ()) -> None:
        self.tables, self.layout, self.source, self.missing = tables, layout, layout.source, missing
        self.inputs = inputs
        self.notes: list[str] = []

    def numbers(self, names: list[str], type: FieldType, reserved: list[str]) -> tuple[Array, dict[str, slice]]:
        """Read the numbers of x; several columns are joined to one vector a step.

        Args:
            names: the columns.
            type: of the array.
            reserved: columns for which a component is left at 0.

        Returns:
            The array, and the components of each column in it.
        """
        firsts = [np.zeros(1) if name in reserved else self._first(name) for name in names]
        dtype = convert_type(np.result_type(*(first.dtype for first in firsts)), type)[0]
        shapes = [first.shape[1:] for first in firsts]
        widths = [math.prod(shape) for shape in shapes]
        one = len(names) == 1
        out = allocate(self.source, (self.layout.rows, *(shapes[0] if one else (sum(widths),))), dtype)
        components: dict[str, slice] = {}
        large = LargeNumbers(of_table=True)
        end = 0
        for name, shape, width in zip(names, shapes, widths, strict=True):
            components[name] = slice(end, end + width)
            end += width
            part = out if one else out[:, components[name]]
            for begin, values, exists in () if name in reserved else self._blocks(name):
                if not exists.all():
                    if not self.missing or dtype != "float32":
                        raise self._missing(name, begin + int(exists.argmin()))
                    values = values if exists.any() else np.zeros((len(values), *shape))  # lists without a length
                    values = np.where(exists.reshape(-1, *[1] * (values.ndim - 1)), values, np.nan)
                self._check_shape(name, begin, shape, values)
                if dtype == "float32":
                    large.add(name, values)
                if (
                    not self.missing
                    and values.dtype.kind == "f"
                    and values.ndim == 1
                    and (gaps := np.isnan(values)).any()
                ):
                    raise self._missing(name, begin + int(gaps.argmax()), "nan")
                flat = values if one else values.reshape(len(values), -1)
                put(part, begin, flat, name, self.layout, missing=self.missing)
        self.notes += large.notes()
        return out, components

    def seconds(self, name: str) -> Array:
        """Read points in time as seconds since an origin, float64 ``[rows]``; NaN where they are missing."""
        out = allocate(self.source, (self.layout.rows,), "float64")
        for begin, values, exists in self._blocks(name):
            if not exists.all() and not self.missing:
                raise self._missing(name, begin + int(exists.argmin()))
            out[begin : begin + len(values)] = np.where(exists, values, np.nan)
        return out

    def text(self, name: str, may_be_null: bool) -> TextColumn:
        """Read a column of text or of categories."""

        numbers: dict[str, int] = {}
        codes: IntArray = allocate(self.source, (self.layout.rows,), "int64")
        for begin, column in self.tables.column(name):
            if not len(column):
                continue
            if not pyarrow.types.is_dictionary(column.type):
                column = plain(column).dictionary_encode()
            if column_content(column.type) != "text" and not pyarrow.types.is_null(column.type.value_type):
                raise MemUPError(
                    f"{self.source}: {name!r} holds {column.type.value_type} from row {begin} on, text before; "
                    "give one type of values"
                )
            values = [*column.dictionary.to_pylist(), None]
            indices = column.indices.cast(pyarrow.int64()).fill_null(len(values) - 1).to_numpy()
            lookup = np.full(len(values), -1)
            for index in np.unique(indices):  # a dictionary may hold more
                if values[index] is not None:
                    lookup[index] = numbers.setdefault(values[index], len(numbers))
            codes[begin : begin + len(column)] = lookup[indices]
        if not may_be_null and codes.min() < 0:
            raise self._missing(name, int(codes.argmin()))
        return TextColumn(codes, list(numbers))

    def y(self, name: str, type: FieldType | None) -> tuple[Array, BoolArray]:
        """Read the outcome as numbers, and where it is not null."""
        if column_content(self.tables.types[name]) == "time":
            check_numeric(self.source, name, "M", self.tables.types[name])
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
            put(out, begin, values, name, self.layout, exists, unknown=_UNKNOWN)
        if out is None:
            raise MemUPError(f"{self.source}: column {name!r} is empty in every row; give outcomes")
        return out, every

    def flags(self, names: list[str]) -> Arrays:
        out: Arrays = {}
        for name in names:
            if column_content(self.tables.types[name]) != "numbers":
                raise MemUPError(
                    f"{self.source}: {name!r} holds {self.tables.types[name]}, not true or false; write booleans, or 1 and "
                    "0"
                )
            out[name] = np.zeros(self.layout.rows, np.bool_)
            for begin, values, exists in self._blocks(name):
                if not exists.all():
                    place = self.layout.place(begin + int(exists.argmin()))
                    raise MemUPError(f"{self.source}: column {name!r} is empty in {place}; give true or false")
                put_flag(out[name], begin, values, name, self.layout)
        return out

    def _first(self, name: str) -> Array:
        """Return the values of the first block that holds any, else of the last one."""
        blocks = self._blocks(name)
        first, exists = next(blocks)[1:]
        while not exists.any() and (block := next(blocks, None)) is not None:
            first, exists = block[1:]
        return first

    def _blocks(self, name: str) -> Iterator[tuple[int, Array, BoolArray]]:
        """Yield the first row, the values ``[rows, ...]`` (0 where null), and where they are not null."""
        for begin, column in self.tables.column(name):
            if len(column):
                exists = column.is_valid().to_numpy(zero_copy_only=False)
                yield begin, self._values(name, begin, plain(column), exists), exists

    def _values(self, name: str, begin: int, column: Any, exists: BoolArray) -> Array:

        dtype, types = column.type, pyarrow.types
        if types.is_list(dtype) or types.is_large_list(dtype) or types.is_fixed_size_list(dtype):
            return self._lists(name, begin, column, exists)
        if types.is_null(dtype):
            return np.zeros(len(column))
        if types.is_decimal(dtype):
            column = column.cast(pyarrow.float64())
        elif types.is_temporal(dtype) and not types.is_interval(dtype):
            return _seconds(column)
        elif not (types.is_integer(dtype) or types.is_floating(dtype) or types.is_boolean(dtype)):
            if column_content(dtype) == "text":
                raise MemUPError(
                    f"{self.source}: {name!r} holds lists of text, not numbers; give a column of 0 and 1 for each text "
                    f"(pandas: table[{name!r}].str.join('|').str.get_dummies()), or leave it out of x"
                )
            check_numeric(self.source, name, "O", dtype)
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
        inner = plain(column.drop_null().flatten())
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

    def _missing(self, name: str, row: int, value: str = "empty") -> MemUPError:
        is_text = column_content(self.tables.types[name]) == "text"
        found = f"{name!r} of {self.layout.place(row)} is {value}{'' if is_text else ', which is no number'}"
        return MemUPError(f"{self.source}: {found}; {describe_gaps(self.tables, self.inputs or [name])}")


def _seconds(column: Any) -> Array:
    """Return points in time or durations in seconds, float64; 0 where null."""

    dtype = column.type
    if pyarrow.types.is_date(dtype):
        unit = 86400.0 if pyarrow.types.is_date32(dtype) else 1e-3
    else:
        unit = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}[dtype.unit]
    whole = column.view(pyarrow.int32() if dtype.bit_width == 32 else pyarrow.int64()).fill_null(0)
    seconds: Array = whole.to_numpy(zero_copy_only=False) * unit
    return seconds
