"""Points in time that a table in memory holds as text, as ``pandas.read_csv`` returns them."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pyarrow
from pyarrow import csv

from memup_lightning.data.array_files.tables.files import column_content


def parse_text_times(table: pyarrow.Table, names: Iterable[str]) -> pyarrow.Table:
    """Read the text of some columns as the reader of csv files does; a column that holds other text stays as it is.

    Args:
        table: the table.
        names: columns that held points in time in training.
    """
    for name in set(names) & set(table.schema.names):
        if column_content(table.schema.field(name).type) == "text":
            found = _read_as_csv(table.column(name).cast(pyarrow.string()))
            if column_content(found.type) == "time":
                table = table.set_column(table.schema.get_field_index(name), name, found)
    return table


def _read_as_csv(column: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    file = io.BytesIO()
    csv.write_csv(pyarrow.table({"column": column}), file)
    parse, convert = csv.ParseOptions(ignore_empty_lines=False), csv.ConvertOptions(strings_can_be_null=True)
    return csv.read_csv(io.BytesIO(file.getvalue()), parse_options=parse, convert_options=convert).column(0)
