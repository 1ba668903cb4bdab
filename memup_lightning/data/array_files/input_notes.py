"""Inputs that give the outcome of the same step away: it under another name, as other codes or in another unit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from memup_lightning.data.array_files.layout import Array, UserEpisodes
from memup_lightning.typing import BoolArray, IntArray

_FEWEST = 32  # outcomes that an input is compared with
_MAX_PAIRS = 10_000  # of components of x and y that are compared
_FIRST = 256  # outcomes that decide nearly always
_SAMPLE = 100_000  # outcomes that are looked at, spread over all
_RECURRING = 4  # times that a value of the outcome comes again, on average: codes of rows go with anything
_MIN_OTHERS = 8  # times that another value than the most frequent one comes again: fewer go with an input by chance
_MIN_NUMBERS = 16  # that differ: fewer are in proportion to an input by chance
_ROUNDING = 1e-4  # of the spread of the outcomes


def input_notes(user: UserEpisodes, y: str) -> Iterator[str]:
    """Point out inputs from which the outcome of the same step can be read; the local context reads them.

    Args:
        user: what was read of the training file.
        y: name of the outcome.
    """
    outcomes, exists = user.outcomes, user.has_outcome
    if len(outcomes) < _FEWEST or (outcomes == outcomes[0]).all():  # few are equal by chance
        return
    equal = list(_equal_to(outcomes, user, exists))
    for name in equal:
        yield (
            f"{name!r} of x is {y!r}, the outcome, at all {len(outcomes):,} steps that have one: the local context reads "
            "what is to be predicted; leave it out of x, or give the value of the step before"
        )
    for name in _telling(outcomes, user, exists):
        if name not in equal:
            yield (
                f"{name!r} of x tells {y!r}, the outcome of the same step: each of its values goes with one of {y!r}. The "
                "local context reads what is to be predicted, so no memory is needed; leave it out of x (--data.x "
                "names those that are read), or give the value of the step before"
            )


def _equal_to(outcomes: Array, user: UserEpisodes, exists: BoolArray) -> Iterator[str]:
    """Yield the inputs that are a component of the outcomes at the steps that have one."""
    if not user.y_names:
        first = np.flatnonzero(exists)[:_FEWEST]  # which decide nearly always
        for name, column in _columns(user, outcomes):
            for outcome in outcomes.reshape(len(outcomes), -1).T:
                if (column[first] == outcome[:_FEWEST]).all() and (column[exists] == outcome).all() and np.ptp(outcome):
                    yield name
                    break
        return
    number = {name: code for code, name in enumerate(user.y_names)}
    for name, text in user.texts.items():
        codes = np.array([*(number.get(value, -1) for value in text.values), -1])  # the last one of missing text
        if (codes[text.codes[exists]] == outcomes).all():
            yield name


def _telling(outcomes: Array, user: UserEpisodes, exists: BoolArray) -> Iterator[str]:
    """Yield the inputs whose values go one to one with those of a component of the outcomes, or in proportion to them."""
    rows = np.flatnonzero(exists)
    rows = rows[np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(np.int64)]
    episode = np.repeat(np.arange(len(user.lengths)), user.lengths)[rows]
    inputs = [*_columns(user, outcomes), *((name, text.codes) for name, text in user.texts.items())]
    found: list[str] = []
    for outcome in user.y.reshape(len(user.y), -1)[rows].T:
        values, codes = np.unique(outcome, return_inverse=True)
        recurs = _recurs(codes, len(values), episode)
        is_number = user.y.dtype.kind == "f" and len(values) >= _MIN_NUMBERS
        for name, column in inputs:
            given = column[rows]
            if name not in found and (
                (recurs and _goes_with(given, codes)) or (is_number and _is_scaled(given, outcome))
            ):
                found.append(name)
    yield from found


def _columns(user: UserEpisodes, outcomes: Array) -> list[tuple[str, Array]]:
    """Return name and values of the components of x, not of images; none where there are too many to compare."""
    if user.x is None or user.x.ndim > 2:
        return []
    columns = user.x.reshape(len(user.x), -1).T
    if len(columns) * outcomes[0].size > _MAX_PAIRS:
        return []
    return [(user.x_names[n] if user.x_names else f"x[{n}]", column) for n, column in enumerate(columns)]


def _recurs(codes: IntArray, values: int, episode: IntArray) -> bool:
    """Return whether outcomes come again often enough to know whether an input goes with them.

    Args:
        codes: number of the value of each outcome, ``[n]``.
        values: how many values there are.
        episode: of each outcome, ``[n]``.
    """
    begins = np.ones(len(codes), np.bool_)
    begins[1:] = (codes[1:] != codes[:-1]) | (episode[1:] != episode[:-1])
    counts = np.bincount(codes[begins], minlength=values)
    total = int(counts.sum())
    return total >= max(2 * _MIN_OTHERS, _RECURRING * values) and total - int(counts.max()) >= _MIN_OTHERS


def _goes_with(column: Array, codes: IntArray) -> bool:
    """Return whether each value of a column goes with one outcome, and each outcome with one value."""
    for rows in (slice(_FIRST), slice(None)):
        values, given = np.unique(column[rows], return_inverse=True)
        outcomes, wanted = np.unique(codes[rows], return_inverse=True)
        if len(values) != len(outcomes):
            return False
        if len(np.unique(given.astype(np.int64) * len(outcomes) + wanted)) != len(values):
            return False
    return True


def _is_scaled(column: Array, outcome: Array) -> bool:
    """Return whether numbers are the outcome in another unit: a multiple of it, and a constant."""
    if column.dtype.kind != "f":
        return False
    for rows in (slice(_FEWEST), slice(None)):
        x, y = column[rows].astype(np.float64), outcome[rows].astype(np.float64)
        x, y = x - x.mean(), y - y.mean()
        spread, square = float(np.sqrt(y @ y / len(y))), float(x @ x)
        slope = float(x @ y) / square if square > 0 else 0.0
        if not np.abs(y - slope * x).max() <= _ROUNDING * spread:  # NaN where a number is missing
            return False
    return True
