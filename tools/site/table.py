"""Table: measured rows of a benchmark, and how they are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

Rows = Callable[[Any], bool]
Format = str | Callable[[Any], str]


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.3g} MB" if size < 1e9 else f"{size / 1e9:,.3g} GB"


def mean_and_worst(values: list[float]) -> str:
    """Write the mean of all runs and, where it is another, the smallest."""
    middle, low = f"{mean(values):.2f}", f"{min(values):.2f}"
    return middle if middle == low else f"{middle} ({low})"


_BY_FORM = {
    ",.0f": (
        "added alone bare chunk_length cpu cpu_us environment_steps environments episodes fit fused_bare length other ours "
        "parameters plain processor_seconds rate rows/s seconds seed state_bytes steps_per_s steps_per_second stream "
        "training updates vests with_memory words workers"
    ),
    ".3f": "accuracy checkpoint high joining_ms last loading_ms low played success without_memory",
    ".2f": "first fused_ratio later ratio step_ms survival",
}
FORMATS: dict[str, Format] = {
    **{key: form for form, keys in _BY_FORM.items() for key in keys.split()},
    "interval": lambda x: f"{x[0]:.1f} to {x[1]:.1f}",
    "peak_rss_mb": lambda x: f"{x:,.0f} MB",
    "device_mb": lambda x: f"{x:,.0f} MB",
    "saved_bytes": megabytes,
}
"""How the values of a key are written, where a column says nothing else; those of others as they are."""


@dataclass
class Column:
    """Column of a table.

    Args:
        key: of a row.
        form: a format of Python, such as ``.3f``, or a function; of a list of values, one a seed, median and range are
            written.
    """

    key: str
    form: Format = ""

    def show(self, value: Any) -> str:
        """Write a value."""
        if callable(self.form):
            return self.form(value)
        if isinstance(value, list):
            middle, *ends = (f"{x:{self.form}}" for x in (median(value), min(value), max(value)))
            return middle if len(value) == 1 else f"{middle} ({' to '.join(ends)})"
        return f"{value:{self.form}}" if self.form and not isinstance(value, str) else str(value)


def columns(text: str, **forms: Format) -> dict[str, Column]:
    """Return columns by their headings.

    Args:
        text: the columns, divided by ``|``: the heading, a colon and the key, or the key alone, whose heading is the same.
        forms: of keys that are not written as :data:`FORMATS` has them.
    """
    found = {}
    for part in text.split("|"):
        heading, _, key = (x.strip() for x in part.rpartition(":"))
        found[heading or key.replace("_", " ")] = Column(key, forms.get(key, FORMATS.get(key, "")))
    return found


@dataclass
class Table:
    """One table.

    Args:
        file: name of the JSON file.
        columns: heading -> column.
        only: which rows.
    """

    file: str
    columns: dict[str, Column]
    only: Rows = lambda row: True


@dataclass
class Section:
    """Section of the page of results: a table with its heading.

    Args:
        question: to which it belongs in the contents of the page.
        title: heading.
        text: what was measured.
        table: the rows.
        command: what prints them, where it is not the benchmark of the table's name.
    """

    question: str
    title: str
    text: str
    table: Table
    command: str = ""
