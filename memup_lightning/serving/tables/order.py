"""Order of the rows of a written table: that of the user's data, whatever order they were predicted in."""

from __future__ import annotations

import csv
import mmap
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from memup_lightning.typing import IntArray

_BLOCK = 1 << 18  # rows that are held at a time


def sort_table(path: Path, header: Sequence[str]) -> None:
    """Sort the rows of a table by ``row``, or where it has none by ``episode`` and ``step``.

    At most 2^18 rows are held at a time, and the numbers that they are sorted by. Rows that are in order, and tables
    without these columns, stay as they are.

    Args:
        path: of the table, csv or parquet.
        header: names of its columns.
    """
    keys = ["row"] if "row" in header else [name for name in ("episode", "step") if name in header]
    if not keys:
        return
    sorted_path = path.with_name(f".{path.name}")
    sort = _sort_parquet if path.suffix == ".parquet" else _sort_csv
    if sort(path, sorted_path, keys):
        sorted_path.replace(path)


def _order(keys: Sequence[IntArray]) -> IntArray | None:
    """Return the numbers of the rows in their new order; None where they are in order."""
    order = np.lexsort(keys[::-1])
    return None if np.array_equal(order, np.arange(len(order))) else order


def _sort_csv(path: Path, sorted_path: Path, keys: Sequence[str]) -> bool:
    with path.open(newline="", encoding="utf-8") as file:
        records = _records(file)
        names, head = next(records, ([], ""))
        places = [names.index(key) for key in keys]
        begins, values = array("q", [len(head.encode())]), array("q")
        for record, text in records:
            values.extend(int(record[place]) for place in places)
            begins.append(begins[-1] + len(text.encode()))
    order = _order(list(np.frombuffer(values, np.int64).reshape(-1, len(keys)).T))
    if order is None:
        return False
    with (
        path.open("rb") as data,
        mmap.mmap(data.fileno(), 0, access=mmap.ACCESS_READ) as whole,
        sorted_path.open("wb") as out,
    ):
        out.write(whole[: begins[0]])
        for number in order:
            out.write(whole[begins[number] : begins[number + 1]])
    return True


def _records(lines: Iterator[str]) -> Iterator[tuple[list[str], str]]:
    """Yield each record of a csv file and its text, which has several lines where a value has."""
    taken: list[str] = []

    def read() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    for record in csv.reader(read()):
        yield record, "".join(taken)
        taken.clear()


def _sort_parquet(path: Path, sorted_path: Path, keys: Sequence[str]) -> bool:
    import pyarrow
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        columns = file.read(columns=list(keys))
        order = _order([columns[key].to_numpy() for key in keys])
        if order is None:
            return False
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        groups = np.split(place, np.cumsum(sizes)[:-1])
        with parquet.ParquetWriter(sorted_path, file.schema_arrow) as writer:
            for begin in range(0, len(order), _BLOCK):
                held, places = [], []
                for group, new in enumerate(groups):
                    if (inside := (new >= begin) & (new < begin + _BLOCK)).any():
                        held.append(file.read_row_group(group).filter(pyarrow.array(inside)))
                        places.append(new[inside])
                writer.write_table(pyarrow.concat_tables(held).take(np.argsort(np.concatenate(places))))
    return True
