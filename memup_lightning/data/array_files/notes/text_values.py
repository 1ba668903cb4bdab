"""What the texts of a column hold, where they are no categories: times, numbers, or words among numbers."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import NamedTuple

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|nan|[-+]?inf", re.IGNORECASE)
_WRITTEN_NUMBER = re.compile(
    r"[$€£¥]?\s?[-+]?(\d+|\d{1,3}(?P<group>[,.' \u00a0\u202f])\d{3}((?P=group)\d{3})*)"
    r"((?!(?P=group))(?P<point>[.,])(?P<decimals>\d+))?([eE][-+]?\d+)?\s?[%$€£¥]?"
)
_UNIT = re.compile(r"(?P<number>.*\d)(?P<space>\s*)(?P<unit>([^\W\d_]|[°%‰])[^\s,;:]{0,7})")
_ZERO = re.compile(r"0{1,4}[-/.]0{1,2}[-/.]0{1,4}\b")  # a date that is not known, in MySQL
_UNKNOWN = {"na", "n/a", "nan", "nil", "none", "null", "nd", "missing", "unknown", "error", "div/0!"}
_SIGNS = "$€£¥%"
_READ = 200  # values, spread over all, from which times are known
_HALF = re.compile(r"(?<=\d) ?[AaPp]\.?[Mm]\.?$")  # of the day
_DATE = re.compile(  # 31/01/2026 08:00, 2026/01/31
    r"((?P<first>[0-3]?\d)((?P<sign>[./-])[0-3]?\d(?P=sign)(19|20)\d\d|/[0-3]?\d/\d\d)|(19|20)\d\d[./][01]?\d[./][0-3]?\d)"
    r"([ T]+\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp]\.?[Mm]\.?)?)?"
)


def words_among_numbers(values: Sequence[str]) -> list[str]:
    """Return the values that are no number, where most are numbers; none where all are, as in ids."""
    others = [value for value in values if not _NUMBER.fullmatch(value.strip())]
    if len({number.unit for value in others if (number := _parse(value)) and number.unit}) > 1:
        return []  # letters of ids
    if 2 * len(others) < len(values):
        return others  # a written number too: '1,234' among plain ones
    words = [value for value in others if not _parse(value)]
    return words if 2 * len(words) < len(values) else []


def stand_for_missing(word: str) -> bool:
    """Return whether a word is one that is written where a number is not known."""
    return word.strip(" .#<>()").lower() in _UNKNOWN or not any(letter.isalnum() for letter in word)


def written_number(values: Sequence[str]) -> str | None:
    """Return one of the values where all are numbers, and most have decimals, groups of digits or a unit.

    Returns:
        The first of these, such as ``1,003.5``, ``12 %`` or ``276.5 K``; None where others are there, or several units, or
        most are whole numbers (``12A`` too), as ids are.
    """
    parsed = [_parse(value) for value in values]
    marked = [value for value, number in zip(values, parsed, strict=True) if number and number.is_marked]
    one_unit = len({number.unit for number in parsed if number and number.unit}) < 2
    return marked[0] if marked and all(parsed) and one_unit and 2 * len(marked) >= len(values) else None


def as_numbers(name: str, values: Sequence[str]) -> str:
    """Return the expression of pandas that makes numbers of a column of written numbers; of words among them gaps."""
    parsed = [_parse(value) for value in values]
    numbers = [number for number in parsed if number]
    removed = {number.unit for number in numbers} | {sign for sign in _SIGNS for value in values if sign in value}
    groups = {number.group for number in numbers} - {""}
    points = {number.point for number in numbers} - groups - {""}
    of_thousands = all(number.has_three for number in numbers if number.point == ",")
    if "," in points and ("." in points or of_thousands):
        points, groups = points - {","}, groups | {","}
    changes = [(old, "") for old in (*sorted(removed - {""}), *sorted(groups))]
    changes += [(",", ".")] if "," in points else []
    column = f"table[{name!r}]" + "".join(f".str.replace({old!r}, {new!r})" for old, new in changes)
    coerced = "" if all(parsed) else ", errors='coerce'"
    return f"table[{name!r}] = pandas.to_numeric({column}{coerced})"


class _Number(NamedTuple):
    """A number as it is written: its unit, the sign between groups of digits, its decimal point; whether three decimals
    follow that may be thousands; whether it is no whole number."""

    unit: str
    group: str
    point: str
    has_three: bool
    is_marked: bool


def _parse(value: str) -> _Number | None:
    text, unit, space = value.strip(), "", ""
    found = _WRITTEN_NUMBER.fullmatch(text)
    if found is None and (parts := _UNIT.fullmatch(text)):
        unit, space = parts["unit"], parts["space"]
        found = _WRITTEN_NUMBER.fullmatch(parts["number"])
    if found is None:
        return None
    group, point = found["group"] or "", found["point"] or ""
    three = len(found["decimals"] or "") == 3 and not text.lstrip("-+").startswith("0")
    number = text if not unit else found[0]
    return _Number(unit, group, point, three, bool(space) or not number.lstrip("-+").isdigit())


def written_times(name: str, values: Sequence[str]) -> str | None:
    """Say that the texts of a column are points in time, and how pandas makes times of them, as the end of a sentence.

    Args:
        name: of the column.
        values: the texts, each once.

    Returns:
        None where others are there.
    """
    unknown = {value: None for value in values if _ZERO.match(value.strip()) or stand_for_missing(value)}
    known = [value for value in values if value not in unknown]
    read = [value.strip() for value in known[:: max(1, len(known) // _READ)]]
    dates = [None if _is_iso(value) else _DATE.fullmatch(value) for value in read]
    if len(read) <= len(unknown) or not all(_is_iso(value) or date for value, date in zip(read, dates, strict=True)):
        return None
    shapes: dict[str, str] = {}  # and the first text of each
    for value in read:
        shapes.setdefault(re.sub(r"\d+", "0", _HALF.sub("", value)), value)
    written = [date for date in dates if date]
    first = ", dayfirst=True" if any(int(date["first"] or 0) > 12 for date in written) else ""
    said, column, coerced = "times as text", f"table[{name!r}]", ", errors='coerce'" if unknown else ""
    made = f"pandas.to_datetime({column}{first}{coerced})"
    if len(shapes) > 1:
        said += f" in several formats, such as {' and '.join(map(repr, list(shapes.values())[:2]))}"
        made = f"pandas.to_datetime({column}, format='mixed'{first}{coerced})"
        if len(written) < len(read):  # dayfirst would turn these too
            iso = f"pandas.to_datetime({column}, format='ISO8601'"
            others = f"pandas.to_datetime({column}, format='mixed'{first}, errors='coerce')"
            made = f"{iso}, errors='coerce').fillna({others})" if written else f"{iso}{coerced})"
    said += "".join(f", and {value!r} among them" for value in list(unknown)[:1])
    return f"{said} (pandas: {column} = {made} makes times of them)"


def _is_iso(value: str) -> bool:
    """Return whether a text is a point in time such as 2026-01-31 08:00:00."""
    try:
        datetime.datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
