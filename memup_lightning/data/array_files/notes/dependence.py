"""Whether an input gives the outcome of the same step away, by all the steps that are there, and not by chance.

Rows that follow each other are no independent evidence: an event lasts for many steps. So evidence counts by runs: steps of
an episode, one after the other, with the same outcome.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from memup_lightning.data.array_files.layout import Array
from memup_lightning.typing import IntArray

_FEWEST = 32  # outcomes that decide nearly always whether numbers are in proportion
_FIRST = 256  # outcomes that decide nearly always
_TRIED = 4096  # rows, spread over all, of which nearly all differ where numbers are measured
_MEASURED = 0.9  # share of them
_RECURRING = 4  # runs of a value of the outcome, on average: codes of rows go with anything
_MIN_OTHERS = 8  # runs of another value than the most frequent one: fewer go with an input by chance
_COVERED = 0.95  # share of what a class shows that it shows in another run too
_LOG_CHANCE = -14.0  # about one in a million
_ROUNDING = 1e-4  # of the spread of the outcomes


def number_runs(codes: IntArray, episode: IntArray) -> IntArray:
    """Return the number of the run that each row is in, ``[n]``.

    Args:
        codes: number of the value of each row, ``[n]``.
        episode: of each row, ``[n]``.
    """
    begins = np.ones(len(codes), np.bool_)
    begins[1:] = (codes[1:] != codes[:-1]) | (episode[1:] != episode[:-1])
    numbers: IntArray = np.cumsum(begins) - 1
    return numbers


def recurs(codes: IntArray, runs: IntArray) -> bool:
    """Return whether values come again often enough to know whether something goes with them.

    Args:
        codes: number of the value of each row from 0 on, ``[n]``.
        runs: as :func:`number_runs` returns them.
    """
    counts = np.bincount(codes[np.flatnonzero(np.diff(runs, prepend=-1))])
    total = int(counts.sum())
    return total >= max(2 * _MIN_OTHERS, _RECURRING * len(counts)) and total - int(counts.max()) >= _MIN_OTHERS


def goes_with(column: Array, codes: IntArray) -> bool:
    """Return whether each value of a column goes with one outcome, and each outcome with one value.

    Args:
        column: values of the input, ``[n]``.
        codes: number of the value of each outcome, ``[n]``.
    """
    for rows in (slice(_FIRST), slice(None)):
        values, pairs = _pairs(column[rows], codes[rows])[:2]
        if not len(values) == len(pairs) == len(np.unique(codes[rows])):
            return False
    return True


def determines(column: Array, codes: IntArray, runs: IntArray) -> bool:
    """Return whether each value of a column goes with one outcome, of which there may be fewer, for certain.

    What is measured never comes again, and an id names its episode: each value then goes with one outcome, which says
    nothing. So all outcomes but one must show in other runs, too, nearly all the values that they show: if the input were
    independent of the outcome, runs of the others would show these values as well. And runs that were assigned to the
    values at random, as often as each occurs, must seldom have one outcome each.

    Args:
        column: values of the input, ``[n]``.
        codes: number of the value of each outcome from 0 on, ``[n]``.
        runs: of the outcomes, as :func:`number_runs` returns them.
    """
    tried = column[:: -(-len(column) // _TRIED)]
    if column.dtype.kind == "f" and len(np.unique(tried)) > max(_FIRST, _MEASURED * len(tried)):
        return False
    for rows in (slice(_FIRST), slice(None)):
        values, pairs, given = _pairs(column[rows], codes[rows])
        if len(values) != len(pairs):
            return False
    shown = np.unique(given * (int(runs[-1]) + 1) + runs) // (int(runs[-1]) + 1)  # values, once for each run
    again = np.bincount(shown) > 1
    outcome = pairs % (int(codes.max()) + 1)  # of each value
    by_run = np.bincount(outcome[shown], again[shown]) / np.bincount(outcome[shown])
    by_row = np.bincount(codes, again[given]) / np.bincount(codes)
    if int((np.minimum(by_run, by_row) < _COVERED).sum()) > 1:
        return False
    of_outcomes = np.bincount(codes[np.flatnonzero(np.diff(runs, prepend=-1))])
    return _log_chance(np.bincount(shown), outcome, of_outcomes) < _LOG_CHANCE


def _log_chance(of_values: IntArray, outcome: IntArray, of_outcomes: IntArray) -> float:
    """Return the logarithm of a chance: that each value is in runs of one outcome alone, or that a value is in as many
    runs of an outcome as rare as the least likely one here. The smaller of the two counts.

    Args:
        of_values: in how many runs each value is, ``[values]``.
        outcome: of each value, ``[values]``.
        of_outcomes: how many runs each outcome has, ``[outcomes]``.
    """
    total = int(of_outcomes.sum())
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total + 1)))])  # their logarithms
    number, own = of_values[of_values > 1][:, None], outcome[of_values > 1][:, None]
    left = of_outcomes - number
    ways = np.where(left < 0, -np.inf, factorials[of_outcomes] - factorials[np.maximum(left, 0)])
    chances = ways - (factorials[total] - factorials[total - number])
    rarest = float(np.take_along_axis(chances, own, 1).min(initial=0.0) + np.log(max(1, chances.size)))
    return min(float(np.logaddexp.reduce(chances, axis=1).sum()), rarest)


def _pairs(column: Array, codes: IntArray) -> tuple[Array, IntArray, IntArray]:
    """Return the values of a column, the numbers of the pairs of value and outcome that occur, and those of the values."""
    values, given = np.unique(column, return_inverse=True)
    given = given.astype(np.int64)
    return values, np.unique(given * (int(codes.max()) + 1) + codes), given


def is_scaled(column: Array, outcome: Array) -> bool:
    """Return whether numbers are the outcome in another unit: a multiple of it, and a constant.

    Args:
        column: values of the input, ``[n]``.
        outcome: numbers, ``[n]``.
    """
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


def together_determine(columns: dict[str, Array], codes: IntArray, episode: IntArray) -> list[str]:
    """Return the columns that each outcome sets, as indicators of its classes are, if their values together give it away.

    Args:
        columns: values of inputs, ``[n]`` each.
        codes: number of the value of each outcome from 0 on, ``[n]``.
        episode: of each row, ``[n]``.
    """
    classes = int(codes.max()) + 1
    found: list[str] = []
    joint: IntArray = np.zeros(len(codes), np.int64)
    for name, column in columns.items():
        if len(_pairs(codes[:_FIRST], _numbers(column[:_FIRST]))[1]) > len(np.unique(codes[:_FIRST])):
            continue
        given = _numbers(column)
        runs = number_runs(given, episode)
        if 2 <= int(given.max()) + 1 < classes and recurs(given, runs) and determines(codes, given, runs):
            found.append(name)
            joint = _numbers(joint * (int(given.max()) + 1) + given)
    return found if goes_with(joint, codes) else []


def _numbers(column: npt.NDArray[np.generic]) -> IntArray:
    """Return the number of the value of each row."""
    numbers: IntArray = np.unique(column, return_inverse=True)[1].astype(np.int64)
    return numbers
