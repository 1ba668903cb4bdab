"""The batches of each column of parquet, Arrow and csv files."""

from __future__ import annotations

import csv as _csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

import pyarrow
from pyarrow import csv, ipc, parquet

from memup_lightning.exceptions import MemUPError

_BATCH = 1 << 15  # rows
_BUFFER = 1 << 16  # bytes
_NOT_UTF_8 = (
    "not written in UTF-8; convert the file (pandas: pd.read_csv(path, encoding='latin-1').to_csv(path, index=False))"
)


class TableColumns(Protocol):
    """Table of which a column at a time is read, batch by batch."""

    @property
    def types(self) -> Mapping[str, Any]:
        """Arrow types of the columns by name."""

    def column(self, name: str) -> Iterator[tuple[int, Any]]:
        """Yield the first row and the values of each batch of a column."""


class TableFiles:
    """Files of one format, read one after the other.

    Attributes:
        types: Arrow types of their columns by name, those of the first file.
    """

    def __init__(self, files: list[Path], base: Path | None) -> None:
        self._files = files
        self._partitions = [{} if base is None else _partition(file.relative_to(base)) for file in files]
        readers: dict[str, Callable[[Path, str | None], Iterator[Any]]]
        readers = {".parquet": _parquet_batches, ".csv": _CsvBatches(files)}
        self._read = readers.get(files[0].suffix.lower(), _arrow_batches)
        self._schemas: dict[Path, Any] = {}
        for file in files:
            _check_names(file, self._schema(file).names)
        schema = self._schema(files[0])
        self.types: dict[str, Any] = dict(zip(schema.names, schema.types, strict=True))
        self.types |= {name: pyarrow.scalar(value).type for name, value in self._partitions[0].items()}

    def _schema(self, file: Path) -> Any:
        if file not in self._schemas:
            self._schemas[file] = next(self._read(file, None))
        return self._schemas[file]

    def column(self, name: str) -> Iterator[tuple[int, Any]]:
        """Yield the first row and the values of each batch of a column."""
        begin = 0
        for file, partition in zip(self._files, self._partitions, strict=True):
            names = self._schema(file).names
            if name not in names and name not in partition:
                raise MemUPError(
                    f"{file} has no column {name!r}, which {self._files[0]} has; give each file the same columns"
                )
            for batch in self._read(file, name if name in names else names[0]):
                rows = batch.num_rows
                yield begin, batch.column(0) if name in names else pyarrow.repeat(pyarrow.scalar(partition[name]), rows)
                begin += rows


def _decode(file: Path, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MemUPError(f"{file}: the first line is {_NOT_UTF_8}") from error


class _CsvBatches:
    """The batches of a column of csv files. The types follow from all rows of all files, so these are held in memory."""

    def __init__(self, files: list[Path]) -> None:
        self._files = files

    @cached_property
    def _tables(self) -> dict[Path, Any]:

        how = csv.ConvertOptions(strings_can_be_null=True)
        tables = {}
        for file in self._files:
            with open(file, "rb") as lines:  # a wrong separator makes rows of other lengths, which cannot be parsed
                names = next(_csv.reader([_decode(file, lines.readline())]), [])
            _check_names(file, names)
            _check_separator(file, names)
            tables[file] = csv.read_csv(file, convert_options=how)
            for name, type in zip(tables[file].column_names, tables[file].schema.types, strict=True):
                if pyarrow.types.is_binary(type):  # text that is not UTF-8
                    raise MemUPError(f"{file}: column {name!r} is {_NOT_UTF_8}")
        schema = pyarrow.unify_schemas([table.schema for table in tables.values()], promote_options="permissive")
        return {
            file: table.cast(pyarrow.schema([schema.field(name) for name in table.column_names]))
            for file, table in tables.items()
        }

    def __call__(self, path: Path, name: str | None) -> Iterator[Any]:
        table = self._tables[path]
        if name is None:
            yield table.schema
        else:
            yield from table.select([name]).to_batches(_BATCH)


class MemoryTable:
    """A :class:`TableColumns` over an Arrow table in memory.

    Args:
        table: the table.
        source: what messages call it.
    """

    def __init__(self, table: pyarrow.Table, source: str) -> None:
        _check_names(source, table.schema.names)
        self._table = table
        self.types: dict[str, Any] = dict(zip(table.schema.names, table.schema.types, strict=True))

    def column(self, name: str) -> Iterator[tuple[int, Any]]:
        """Yield the first row and the values of each batch of a column."""
        begin = 0
        for batch in self._table.column(name).chunks:
            yield begin, batch
            begin += len(batch)


def _check_names(source: Path | str, names: list[str]) -> None:
    """Refuse columns of one name, of which one would be read twice."""
    for name, number in Counter(names).items():
        if number > 1:
            raise MemUPError(f"{source} has {number} columns named {name!r}; rename them")


def _check_separator(file: Path, names: list[str]) -> None:
    """Refuse a csv file of another separator than commas, whose first line is read as one name."""
    for separator in (";", "\t", "|"):
        if len(names) == 1 and separator in names[0]:
            raise MemUPError(
                f"{file} separates its columns by {separator!r}; write it with commas, and numbers with points (pandas: "
                f"pd.read_csv(path, sep={separator!r}, decimal=',').to_csv(path, index=False))"
            )


def _partition(path: Path) -> dict[str, int | str]:
    """Return the columns that folders named ``column=value`` stand for."""
    pairs = (unquote(part).split("=", 1) for part in path.parts[:-1] if "=" in part)
    return {name: int(value) if value.lstrip("-").isdecimal() else value for name, value in pairs}


def _parquet_batches(path: Path, name: str | None) -> Iterator[Any]:
    """Yield the batches of one column of a parquet file; without a name, its schema."""

    with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:  # whole row groups take much room
        if name is None:
            yield file.schema_arrow
        else:
            yield from file.iter_batches(_BATCH, columns=[name], use_threads=False)


def _arrow_batches(path: Path, name: str | None) -> Iterator[Any]:
    """Yield the batches of one column of a file in one of Arrow's two formats; without a name, its schema."""

    options = None
    if name is not None:
        options = ipc.IpcReadOptions(
            included_fields=[next(_arrow_batches(path, None)).get_field_index(name)], use_threads=False
        )
    try:
        with pyarrow.OSFile(str(path)) as file:
            reader = ipc.open_file(file, options=options)
            if name is None:
                yield reader.schema
            else:
                yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
    except pyarrow.ArrowInvalid:
        with pyarrow.memory_map(str(path)) as file:
            stream = ipc.open_stream(file, options=options)
            if name is None:
                yield stream.schema
            else:
                yield from stream
