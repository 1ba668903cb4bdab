"""What the texts of a column hold, where they are no categories: times, numbers, or words among numbers."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|nan|[-+]?inf", re.IGNORECASE)
_WRITTEN_NUMBER = re.compile(
    r"[$€£¥]?\s?[-+]?(\d+|\d{1,3}(?P<between>[,.' ])\d{3}((?P=between)\d{3})*)((?!(?P=between))[.,]\d+)?"
    r"([eE][-+]?\d+)?\s?[%$€£¥]?"
)
_READ = 20  # values from which times are known


def words_among_numbers(values: Sequence[str]) -> list[str]:
    """Return the values that are no number, where most are numbers; none where all are, as in ids."""
    words = [value for value in values if not _NUMBER.fullmatch(value.strip())]
    return words if 2 * len(words) < len(values) else []


def written_number(values: Sequence[str]) -> str | None:
    """Return one of the values where all are numbers, and most have decimals, groups of digits or a unit.

    Returns:
        The first of these, such as ``1,003.5`` or ``12 %``; None where others are there, or most are whole numbers, as
        ids are.
    """
    marked = [value for value in values if not value.strip().lstrip("+-").isdigit()]
    if 2 * len(marked) < len(values) or not all(_WRITTEN_NUMBER.fullmatch(value.strip()) for value in values):
        return None
    return next(iter(marked), None)


def hold_times(values: Sequence[str]) -> bool:
    """Return whether texts are points in time, such as 2026-01-31 08:00:00."""
    try:
        return all(datetime.datetime.fromisoformat(value.strip()) for value in values[:_READ])
    except ValueError:
        return False
