"""Trends of the memory gain over the validations of a run: whether it still rises, and since when it stands still."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from memup_lightning.modules.evaluation.estimate import FloatArray

MIN_EVALUATIONS = 4
"""Validations below which there is no trend."""
_ERRORS = {2: 2.92, 3: 2.35, 4: 2.13}  # standard errors of a certain rise, by degrees of freedom: 95% of Student's t
_MORE = 2.0  # the same of more validations
_SLOWER = 0.25  # share of the pace of a rise, below which the last third of the run has stopped rising
_LONG = 2000  # updates without a rise, at least, after which a gain counts as standing
MIN_RISE = 0.05
"""Bits below which a gain does not rise."""
MAX_VALUE = 1e9
"""Largest number of updates, and largest gain, that a trend can have."""


class Rise(NamedTuple):
    """Rise of the memory gain from one validation to the last one: their updates, and their gains in bits."""

    begin: float
    lowest: float
    end: float
    highest: float


def finite(history: Sequence[tuple[float, float]]) -> FloatArray:
    """Return updates and gain of the validations that have finite ones, ``[n, 2]``."""
    rows = np.array(history, float).reshape(-1, 2)
    known: FloatArray = rows[(np.abs(rows) < MAX_VALUE).all(1)]
    return known


def rise(rows: FloatArray, least: float = MIN_RISE) -> Rise | None:
    """Return how a gain rose over the last half of the updates, or since the first validation of a trend.

    None where no rise is certain.

    Args:
        rows: as :func:`finite` returns them.
        least: bits by which it must rise.
    """
    if not rises(rows) or (trend := _trend(rows, 2)) is None:
        return None
    slope, _, y = trend
    if not slope > max(least, 0.05 * abs(float(y[-1]))):
        return None
    half = rows[rows[:, 0] <= rows[-1, 0] / 2][-1:]
    begins = [row for row in (*half, rows[-len(y)]) if row[1] < rows[-1, 1]]
    return Rise(*begins[0].tolist(), *rows[-1].tolist()) if begins else None


def rises(rows: FloatArray) -> bool:
    """Return whether a gain rose over the last half of the validations by more than they scatter, however slowly, and did
    not stop in the last third of the run.

    Args:
        rows: as :func:`finite` returns them.
    """
    if (trend := _trend(rows, 2)) is None:
        return False
    slope, error, y = trend
    if not slope > max(0.0, _errors(y) * error):
        return False
    if (last := _trend(rows, 3)) is None or len(last[2]) == len(y):
        return True
    recent, recent_error, z = last
    pace = slope * float(rows[-1, 0] - rows[-len(z), 0]) / float(rows[-1, 0] - rows[-len(y), 0])
    return not recent < pace * _SLOWER or recent + 2 * recent_error >= pace


def standing_since(rows: FloatArray) -> int | None:
    """Return the update since which a gain has not risen, for a third of the run; None where it may have.

    Args:
        rows: as :func:`finite` returns them.
    """
    for part in (2, 3):
        if len(rows) < part * MIN_EVALUATIONS or (trend := _trend(rows, part)) is None:
            continue
        slope, error, y = trend
        small = min(2 * MIN_RISE, 0.2 * float(np.abs(y).max()))  # there may not be more to gain
        if slope + 2 * error > max(small, 0.1 * abs(float(y.mean()))):
            continue
        since = float(rows[int(np.argmax(rows[:, 1] >= y.mean() - y.std())), 0])  # one of the last is as high
        if rows[-1, 0] - since >= max(_LONG, rows[-1, 0] / 3):
            return int(since)
    return None


def _errors(y: FloatArray) -> float:
    """Return by how many standard errors a rise of some validations is certain."""
    return _ERRORS.get(len(y) - 2, _MORE)


def _trend(rows: FloatArray, part: int) -> tuple[float, float, FloatArray] | None:
    """Return how much the gain changed over the last half or third of the validations, the standard error of that, and
    their gains."""
    rows = rows[-max(MIN_EVALUATIONS, len(rows) // part) :]
    if len(rows) < MIN_EVALUATIONS or rows[-1, 0] - rows[0, 0] < 1:
        return None
    x, y = rows.T
    x = (x - x.mean()) / (x[-1] - x[0])
    slope = float(x @ (y - y.mean()) / (x @ x))
    left = y - y.mean() - slope * x
    error = float(np.sqrt((left @ left) / (len(x) - 2) / (x @ x)))
    return slope, error, y
