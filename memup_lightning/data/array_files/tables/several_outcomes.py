"""Several columns as one outcome: numbers as a vector, classes as the combinations of them that occur."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow
from pyarrow import compute

from memup_lightning.data.array_files.tables.files import TableColumns
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import AND
from memup_lightning.user_warnings import option


class JoinedColumns:
    """Table with one column more, joined from others: empty in each row where one of them is.

    Numbers become a list a row. Classes (text, integers, booleans) become a text such as ``fault=true & leak=false``, one
    class for each combination, so that what is predicted is their joint distribution.

    Args:
        tables: the table.
        names: of at least two columns.
        joined: name of the new column.
        source: as the user gave it, for messages.
        numbers: whether integers are numbers too.

    Raises:
        MemUPError: numbers and classes together.
    """

    def __init__(self, tables: TableColumns, names: tuple[str, ...], joined: str, source: str, numbers: bool) -> None:
        self._tables, self._names, self._joined = tables, names, joined
        kinds = {name: _is_number(tables.types[name], numbers) for name in names}
        if len(set(kinds.values())) > 1:
            number = next(name for name, is_number in kinds.items() if is_number)
            other = next(name for name, is_number in kinds.items() if not is_number)
            raise MemUPError(
                f"{source}: y={list(names)} holds numbers ({number!r}) and classes ({other!r}), and one outcome is either; "
                f"give columns of one kind, or {option('data.y_type', 'vector')} where the classes are integers or booleans"
            )
        self._numbers = all(kinds.values())
        kind = pyarrow.list_(pyarrow.float64(), len(names)) if self._numbers else pyarrow.string()
        self.types: Mapping[str, Any] = {**tables.types, joined: kind}
        self.left_out = tables.left_out

    def column(self, name: str) -> Iterator[tuple[int, Any]]:
        """Yield the first row and the values of each batch of a column."""
        if name != self._joined:
            yield from self._tables.column(name)
            return
        for batches in zip(*map(self._tables.column, self._names), strict=True):
            yield batches[0][0], self._join([column for _, column in batches])

    def _join(self, columns: list[Any]) -> Any:
        missing = columns[0].is_null()
        for column in columns[1:]:
            missing = compute.or_(missing, column.is_null())
        if self._numbers:
            parts = [column.cast(pyarrow.float64()).fill_null(0).to_numpy() for column in columns]
            flat = pyarrow.array(np.stack(parts, axis=1).ravel())
            return pyarrow.FixedSizeListArray.from_arrays(flat, len(columns), mask=missing)
        parts = [
            compute.binary_join_element_wise(f"{name}=", column.cast(pyarrow.string()), "")
            for name, column in zip(self._names, columns, strict=True)
        ]
        joined = compute.binary_join_element_wise(*parts, AND)
        return compute.if_else(missing, None, joined)


def _is_number(kind: Any, integers: bool) -> bool:
    types = pyarrow.types
    whole = types.is_integer(kind) or types.is_boolean(kind)
    return types.is_floating(kind) or types.is_decimal(kind) or (integers and whole)
