"""The batches of each column of parquet, Arrow and csv files."""

from __future__ import annotations

import codecs
import csv as _csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import unquote

import pyarrow
from pyarrow import csv, ipc, parquet

from memup_lightning.exceptions import MemUPError

_BATCH = 1 << 15  # rows
_BUFFER = 1 << 16  # bytes
_SEPARATORS = (";", "\t", "|")  # other than commas

_TEXT_TYPES = ("string", "large_string", "string_view")
ColumnContent = Literal["numbers", "text", "time"]


def plain(column: Any) -> Any:
    """Return the values without dictionary encoding or extension type."""
    if pyarrow.types.is_dictionary(column.type):
        return column.dictionary_decode()
    return column.storage if isinstance(column.type, pyarrow.ExtensionType) else column


def column_content(dtype: Any) -> ColumnContent:
    """Return how a column of an Arrow type is read; what can be none of these is refused when it is read."""
    types = pyarrow.types
    if types.is_dictionary(dtype):
        return column_content(dtype.value_type)
    if types.is_timestamp(dtype) or types.is_date(dtype):
        return "time"
    return "text" if str(dtype) in _TEXT_TYPES else "numbers"


@contextmanager
def readable(source: Path | str) -> Iterator[None]:
    """Refuse a file that pyarrow cannot read, by its name."""
    try:
        yield
    except (OSError, pyarrow.ArrowException) as error:
        raise MemUPError(f"{source} cannot be read: {error}") from error


class TableColumns(Protocol):
    """Table of which a column at a time is read, batch by batch."""

    @property
    def types(self) -> Mapping[str, Any]:
        """Arrow types of the columns by name."""

    @property
    def left_out(self) -> Mapping[str, Path]:
        """Columns that are not read, since the first file has not got them, and a file that has."""

    def column(self, name: str) -> Iterator[tuple[int, Any]]:
        """Yield the first row and the values of each batch of a column."""


class TableFiles:
    """Files of one format, read one after the other.

    Attributes:
        types: Arrow types of the columns of the first file by name; of one that is empty there, that of the next file.
        left_out: columns that a later file has and the first has not, and that file; they are not read.
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
        self.left_out: dict[str, Path] = {}
        self._typed_by = dict.fromkeys(self.types, files[0])  # file that the type of a column is of
        for file in files[1:]:
            self._compare(file)

    def _schema(self, file: Path) -> Any:
        if file not in self._schemas:
            with readable(file):
                self._schemas[file] = next(self._read(file, None))
        return self._schemas[file]

    def _compare(self, file: Path) -> None:
        """Note the columns of a file that the first one has not, and the types of those that are empty there."""
        for field in self._schema(file):
            if field.name not in self.types:
                self.left_out.setdefault(field.name, file)
            elif pyarrow.types.is_null(self.types[field.name]):
                self.types[field.name], self._typed_by[field.name] = field.type, file

    def _check_content(self, file: Path, name: str) -> None:
        """Refuse a column that holds text, numbers or times in a file, and something else in the others."""
        here, there = self._schema(file).field(name).type, self.types[name]
        if column_content(here) != column_content(there) and not pyarrow.types.is_null(here):
            raise MemUPError(
                f"{file}: {name!r} holds {_said(here)}, but {_said(there)} in {self._typed_by[name]}; write one type of "
                "values in every file"
            )

    def column(self, name: str) -> Iterator[tuple[int, Any]]:
        """Yield the first row and the values of each batch of a column."""
        begin = 0
        for file, partition in zip(self._files, self._partitions, strict=True):
            names = self._schema(file).names
            if name not in names and name not in partition:
                raise MemUPError(
                    f"{file} has no column {name!r}, which {self._files[0]} has; give each file the same columns"
                )
            if name in names:
                self._check_content(file, name)
            batches = self._read(file, name if name in names else names[0])
            while True:
                with readable(file):
                    batch = next(batches, None)
                if batch is None:
                    break
                rows = batch.num_rows
                yield begin, batch.column(0) if name in names else pyarrow.repeat(pyarrow.scalar(partition[name]), rows)
                begin += rows


def _said(dtype: Any) -> str:
    """Name what a column holds, and its type."""
    content = column_content(dtype)
    return f"{'times' if content == 'time' else content} ({dtype})"


def _decode(file: Path, line: bytes) -> str:
    """Return the text of the first line of a csv file."""
    if (encoding := _wide_encoding(line)) is not None:
        raise MemUPError(f"{file}: the file is {_not_utf_8(encoding, line.decode(encoding, 'ignore'))}")
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MemUPError(f"{file}: the first line is {_not_utf_8('latin-1', line.decode('latin-1'))}") from error


def _not_utf_8(encoding: str, header: str = "") -> str:
    """Say that a file has another encoding, and how it is converted, also from another separator in its first line."""
    separator = next((x for x in _SEPARATORS if x in header and "," not in header), None)
    how = (
        f"encoding={encoding!r}" + (f", sep={separator!r}" if separator else "") + ", decimal=','" * (separator == ";")
    )
    return f"not written in UTF-8; convert the file (pandas: pd.read_csv(path, {how}).to_csv(path, index=False))"


def _wide_encoding(line: bytes) -> str | None:
    """Return the encoding of two or four bytes a character that a file begins in; None of any other."""
    if line.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):  # the first begins as that of UTF-16 does
        return "utf-32"
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if 0 not in line[:2]:
        return None
    return "utf-16-be" if line[0] == 0 else "utf-16-le"


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
            with readable(file):
                tables[file] = csv.read_csv(file, convert_options=how)
            for name, type in zip(tables[file].column_names, tables[file].schema.types, strict=True):
                if pyarrow.types.is_binary(type):  # text that is not UTF-8
                    raise MemUPError(f"{file}: column {name!r} is {_not_utf_8('latin-1')}")
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
        self.left_out: dict[str, Path] = {}
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
    for separator in _SEPARATORS:
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
