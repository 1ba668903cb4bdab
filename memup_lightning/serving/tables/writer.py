"""Tables of predictions, written batch by batch, as csv or parquet."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

SUFFIXES = (".csv", ".parquet")
Columns = dict[str, "npt.NDArray[Any] | list[Any]"]


class TableWriter:
    """Writer of a table; the file is made with the first rows, in csv at once.

    Args:
        path: of the table; its ending says which format.

    Attributes:
        header: names of the columns; empty before the first rows.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: list[str] = []
        self._file: IO[str] | None = None if path.suffix == ".parquet" else path.open("w", newline="", encoding="utf-8")
        self._parquet: Any = None

    def write(self, columns: Columns) -> None:
        """Append rows: columns by name, of one length; a number that is NaN is empty."""
        first = not self.header
        self.header = self.header or list(columns)
        if self._file is None:
            import pyarrow
            from pyarrow import parquet

            table = pyarrow.table({name: pyarrow.array(x, from_pandas=True) for name, x in columns.items()})
            if self._parquet is None:
                self._parquet = parquet.ParquetWriter(self.path, table.schema)
            self._parquet.write_table(table.cast(self._parquet.schema))
            return
        writer = csv.writer(self._file)
        if first:
            writer.writerow(self.header)
        writer.writerows(zip(*(_texts(x) for x in columns.values()), strict=True))

    def close(self) -> None:
        for file in (self._file, self._parquet):
            if file is not None:
                file.close()


def join_tables(path: Path, others: Sequence[Path], header: Sequence[str]) -> None:
    """Append the rows of other tables of the same columns to one, and remove them; a table without rows gets its header.

    Args:
        path: of the table.
        others: of the other ones; of parquet, those that have no rows are not there.
        header: names of the columns.
    """
    if path.suffix == ".parquet":
        _join_parquet(path, [other for other in others if other.is_file()], header)
        return
    if not path.stat().st_size and header:
        path.write_text(",".join(header) + "\r\n", newline="")
    with path.open("ab") as whole:
        for other in others:
            with other.open("rb") as lines:
                lines.readline()  # its header
                shutil.copyfileobj(lines, whole)
            other.unlink()


def _join_parquet(path: Path, others: Sequence[Path], header: Sequence[str]) -> None:
    import pyarrow
    from pyarrow import parquet

    parts = [part for part in (path, *others) if part.is_file()]
    if not parts:
        parquet.write_table(pyarrow.table({name: pyarrow.array([], pyarrow.null()) for name in header}), path)
        return
    if parts == [path]:
        return
    joined = path.with_name(f".{path.name}")
    with parquet.ParquetWriter(joined, parquet.read_schema(parts[0])) as writer:
        for part in parts:
            writer.write_table(parquet.read_table(part))
    for part in others:
        part.unlink(missing_ok=True)
    joined.replace(path)


def _texts(column: npt.NDArray[Any] | list[Any]) -> list[Any]:
    values: list[Any] = column.tolist() if isinstance(column, np.ndarray) else column
    return ["" if value is None or value != value else value for value in values]
