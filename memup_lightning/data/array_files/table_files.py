"""The batches of each column of parquet and Arrow files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow
from pyarrow import ipc, parquet

from memup_lightning.exceptions import MemUPError

_BATCH = 1 << 15  # rows
_BUFFER = 1 << 16  # bytes


class TableFiles:
    """Files of one format, read one after the other.

    Attributes:
        names: their columns, those of the first file.
    """

    def __init__(self, files: list[Path], base: Path | None) -> None:
        self._files = files
        self._partitions = [{} if base is None else _partition(file.relative_to(base)) for file in files]
        self._read = _parquet_batches if files[0].suffix == ".parquet" else _arrow_batches
        self.names = [*next(self._read(files[0], None)), *self._partitions[0]]

    def column(self, name: str) -> Iterator[tuple[int, Any]]:
        """Yield the first row and the values of each batch of a column."""
        begin = 0
        for file, partition in zip(self._files, self._partitions, strict=True):
            names = next(self._read(file, None))
            if name not in names and name not in partition:
                raise MemUPError(
                    f"{file} has no column {name!r}, which {self._files[0]} has; give each file the same columns"
                )
            for batch in self._read(file, name if name in names else names[0]):
                rows = batch.num_rows
                yield begin, batch.column(0) if name in names else pyarrow.repeat(pyarrow.scalar(partition[name]), rows)
                begin += rows


def _partition(path: Path) -> dict[str, int | str]:
    """Return the columns that folders named ``column=value`` stand for."""
    pairs = (unquote(part).split("=", 1) for part in path.parts[:-1] if "=" in part)
    return {name: int(value) if value.lstrip("-").isdecimal() else value for name, value in pairs}


def _parquet_batches(path: Path, name: str | None) -> Iterator[Any]:
    """Yield the batches of one column of a parquet file; without a name, its columns."""
    with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:  # whole row groups take much room
        if name is None:
            yield file.schema_arrow.names
        else:
            yield from file.iter_batches(_BATCH, columns=[name], use_threads=False)


def _arrow_batches(path: Path, name: str | None) -> Iterator[Any]:
    """Yield the batches of one column of a file in one of Arrow's two formats; without a name, its columns."""
    options = None
    if name is not None:
        options = ipc.IpcReadOptions(included_fields=[next(_arrow_batches(path, None)).index(name)], use_threads=False)
    try:
        with pyarrow.OSFile(str(path)) as file:
            reader = ipc.open_file(file, options=options)
            if name is None:
                yield reader.schema.names
            else:
                yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
    except pyarrow.ArrowInvalid:
        with pyarrow.memory_map(str(path)) as file:
            stream = ipc.open_stream(file, options=options)
            if name is None:
                yield stream.schema.names
            else:
                yield from stream
