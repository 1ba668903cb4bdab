"""Inputs of large numbers: times that count from 1970 on, and numbers of which float32 makes one of many."""

from __future__ import annotations

import datetime

import numpy as np

from memup_lightning.data.array_files.layout import Array
from memup_lightning.user_warnings import option

_COARSE = 100  # steps of rounding; where the spread is larger, a model hardly sees them
_KEPT = 0.95  # share of the different numbers that float32 keeps, below which a loss is said
_EXACT, _LEFT = 1e5, 0.5  # smaller numbers keep two decimals; share of the changes from row to row that must be left
_FIRST, _LAST = (datetime.datetime(year, 1, 1, tzinfo=datetime.UTC).timestamp() for year in (2000, 2050))
_UNITS = {"s": ("seconds", 1.0), "ms": ("milliseconds", 1e3), "us": ("microseconds", 1e6), "ns": ("nanoseconds", 1e9)}
_RISING = 0.5  # share of the rows at which a time is later than at the row before
_FALLING = 0.2  # and of those at which it is earlier: there an episode begins


def time_unit(value: float) -> str | None:
    """Return the unit in which a number counts from 1970 on to a date of the years 2000 to 2049; None of other numbers."""
    return next((unit for unit, (_, count) in _UNITS.items() if _FIRST * count <= value < _LAST * count), None)


def times_as_numbers(name: str, low: float, high: float, unit: str, of_table: bool) -> str:
    """Say that numbers seem to be times, and what makes times of them: a sentence without its subject.

    Args:
        name: of the column or array.
        low, high: the first and the last of them.
        unit: as :func:`time_unit` returns it.
        of_table: whether it is a column of a table.
    """
    noun, count = _UNITS[unit]
    first, last = (datetime.datetime.fromtimestamp(x / count, datetime.UTC).date() for x in (low, high))
    how = (
        f"{option('data.time', name)} sorts by it and reads the time since the row before, or make times of it (pandas: "
        f"table[{name!r}] = pandas.to_datetime(table[{name!r}], unit={unit!r}))"
    )
    dates = str(first) if first == last else f"{first} to {last}"
    return (
        f"seems to count {noun} from 1970 on ({dates}), and float32 keeps only 7 digits of a number; "
        f"{how if of_table else 'give the time since the step before'}"
    )


class LargeNumbers:
    """Finds such columns by the numbers themselves, block by block.

    Args:
        of_table: whether they are columns of a table.
    """

    def __init__(self, of_table: bool = False) -> None:
        self._of_table = of_table
        self._lost: dict[str, tuple[int, int]] = {}  # different numbers of a block, and those that are left
        self._changes: dict[str, tuple[int, int]] = {}  # from row to row, and those that are left
        self._times: dict[str, tuple[float, float] | None] = {}  # their range; None of other numbers

    def add(self, name: str, values: Array) -> None:
        """Look at the numbers of a block.

        Args:
            name: of the column or array; of one that holds several numbers a step each has the name ``name[number]``.
            values: before their conversion to float32, ``[n, ...]``; NaN is left out.
        """
        kind, size = values.dtype.kind, values.dtype.itemsize
        if not values.size or not ((kind == "f" and size > 4) or (kind in "iu" and size >= 4)):
            return
        flat = values.reshape(len(values), -1)
        low, high = np.fmin.reduce(flat).astype(np.float64), np.fmax.reduce(flat).astype(np.float64)
        names = [name] if flat.shape[1] == 1 else [f"{name}[{number}]" for number in range(flat.shape[1])]
        as_times = (low >= _FIRST) & (high < _LAST)
        for number in np.flatnonzero(as_times).tolist():
            if self._times.get(names[number], (0.0, 0.0)) is not None and _is_time(flat[:, number]):
                before = self._times.get(names[number]) or (np.inf, -np.inf)
                self._times[names[number]] = (min(low[number], before[0]), max(high[number], before[1]))
            else:
                self._times[names[number]] = None
        for other in self._times.keys() & {names[number] for number in np.flatnonzero(~as_times & (low <= high))}:
            self._times[other] = None
        steps = np.spacing(np.maximum(np.abs(low), np.abs(high)).astype(np.float32))
        moving = (low < high) & (np.maximum(np.abs(low), np.abs(high)) >= _EXACT)
        for number in np.flatnonzero(moving).tolist():
            self._count_changes(names[number], flat[:, number])
        at_least = (high - low) / np.sqrt(2 * len(flat))  # the spread is not smaller
        for number in np.flatnonzero((low < high) & (at_least < _COARSE * steps)).tolist():
            known = flat[:, number][np.isfinite(flat[:, number])]
            if not 0 < float(known.std()) < _COARSE * steps[number]:
                continue
            different, left = len(np.unique(known)), len(np.unique(known.astype(np.float32)))
            if left < min(_KEPT, _share(self._lost.get(names[number], (1, 1)))) * different:
                self._lost[names[number]] = (different, left)

    def _count_changes(self, name: str, values: Array) -> None:
        """Count the changes from row to row, and those that are left in float32."""
        known = values[np.isfinite(values)]
        changed, left = (int(np.count_nonzero(np.diff(x))) for x in (known, known.astype(np.float32)))
        before = self._changes.get(name, (0, 0))
        self._changes[name] = before[0] + changed, before[1] + left

    def notes(self) -> list[str]:
        """Return a note for the user on each column that was found."""
        halted = {
            name: counts
            for name, counts in self._changes.items()
            if counts[1] < _LEFT * counts[0] and self._times.get(name) is None and name not in self._lost
        }
        times = {name: limits for name, limits in self._times.items() if limits is not None}
        return [
            *(f"{name!r} {times_as_numbers(name, *limits, 's', self._of_table)}" for name, limits in times.items()),
            *(
                f"{name!r} holds numbers that lie too close together for their size: of {different:,} different ones "
                f"{left:,} {'is' if left == 1 else 'are'} left in float32; give their distance from a fixed number"
                for name, (different, left) in self._lost.items()
                if name not in times
            ),
            *(
                f"{name!r} changes from row to row by less than float32 keeps of numbers of that size: of {changed:,} "
                f"changes {left:,} {'is' if left == 1 else 'are'} left; give the change itself, or the distance from the "
                "first row of the episode"
                for name, (changed, left) in halted.items()
            ),
        ]


def _is_time(values: Array) -> bool:
    """Return whether numbers mostly rise from row to row, as times do."""
    changes = np.diff(values[np.isfinite(values)].astype(np.float64))
    rising, falling = int((changes > 0).sum()), int((changes < 0).sum())
    return rising > _RISING * len(changes) and falling < _FALLING * len(changes)


def _share(counts: tuple[int, int]) -> float:
    return counts[1] / counts[0]
