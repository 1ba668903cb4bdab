"""Gaps of the columns that the memory reads: how many there are, and what to do where none may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow
from pyarrow import compute

from memup_lightning.data.array_files.tables.files import TableColumns, column_content, plain
from memup_lightning.exceptions import counted
from memup_lightning.user_warnings import option


def describe_gaps(tables: TableColumns, names: Sequence[str]) -> str:
    """Say how many gaps each column has, and what to do, as the end of a sentence.

    Args:
        tables: the files.
        names: of the columns of x.
    """
    gaps = {name: number for name in names if (number := _count(tables, name))}
    first, *others = [
        f"{counted(number, 'gap') if not place else f'{number:,}'} in {name!r}"
        for place, (name, number) in enumerate(gaps.items())
    ]
    there = "is" if next(iter(gaps.values())) == 1 else "are"
    return f"there {there} {', '.join([first, *others])}; {_advice(tables, gaps)}"


def _advice(tables: TableColumns, gaps: Mapping[str, int]) -> str:
    are_text = [column_content(tables.types[name]) == "text" for name in gaps]
    columns = "column" if len(gaps) == 1 else "columns"
    otherwise = f"or drop the rows, or leave the {columns} out of x"
    mask, previous = option("data.missing", "mask"), option("data.missing", "previous")
    if all(are_text):
        return (
            f"train with {mask}, which reads a gap as a value that is not known, or {previous}, as the last one of the "
            f"episode; {otherwise}"
        )
    text = ", and reads missing text as a value that is not known" if any(are_text) else ""
    last = "value" if text else "number"
    return (
        f"train with {mask}, which fills in the column's mean and adds an input that says where{text}, or {previous}, "
        f"which fills in the last {last} of the episode; {otherwise}"
    )


def _count(tables: TableColumns, name: str) -> int:
    """Count the values of a column that are null, or no number."""
    number = 0
    for _, encoded in tables.column(name):
        column = plain(encoded)
        number += column.null_count
        if pyarrow.types.is_floating(column.type):
            number += compute.sum(compute.is_nan(column)).as_py() or 0
    return number
