"""Table: one table of the page of results, and how its values are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

Column = tuple[str, Callable[[Any], str]]  # key of a row, and how its value is written


def number(digits: int) -> Callable[[Any], str]:
    return lambda x: f"{x:,.{digits}f}"


def spread(digits: int) -> Callable[[Any], str]:
    """The median of all seeds and their range; a single value alone."""

    def write(values: list[float]) -> str:
        middle, low, high = (f"{x:,.{digits}f}" for x in (median(values), min(values), max(values)))
        return middle if len(values) == 1 else f"{middle} ({low} to {high})"

    return write


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.3g} MB" if size < 1e9 else f"{size / 1e9:,.3g} GB"


def share(x: float) -> str:
    return f"{x:.0%}"


WHOLE, UPDATES, SECONDS, ACCURACY = number(0), spread(0), spread(0), number(3)
SAVED: Column = ("saved_bytes", megabytes)
RESIDENT: Column = ("peak_rss_mb", lambda x: f"{x:,.0f} MB")


@dataclass
class Table:
    """One table.

    Args:
        file: name of the JSON file.
        title: heading.
        text: what was measured.
        command: what prints it.
        columns: heading -> key and format.
        only: which rows.
    """

    file: str
    title: str
    text: str
    command: str
    columns: dict[str, Column]
    only: Callable[[Any], bool] = lambda row: True
