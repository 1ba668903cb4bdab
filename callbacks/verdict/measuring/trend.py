"""Trends of the memory gain over the validations of a run: whether it still rises, and since when it stands still."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.modules.evaluation.estimate import FloatArray

_ERRORS = {2: 2.92, 3: 2.35, 4: 2.13}  # standard errors of a certain rise, by degrees of freedom: 95% of Student's t
_MORE = 2.0  # the same of more validations
MAX_VALUE = 1e9
"""Largest number of updates, and largest gain, that a trend can have."""


class Rise(NamedTuple):
    """Rise of the memory gain from one validation to the last one: their updates, and their gains in bits."""

    begin: float
    lowest: float
    end: float
    highest: float


class Outlook(NamedTuple):
    """What as many updates again would add to the memory gain, by its trend, and what it is now; in bits."""

    added: float
    level: float

    @property
    def worthwhile(self) -> bool:
        """Whether so much is worth as many updates again."""
        return self.added > 0 and self.added >= at.WORTHWHILE * abs(self.level)


def finite(history: Sequence[tuple[float, float]]) -> FloatArray:
    """Return updates and gain of the validations that have finite ones, ``[n, 2]``."""
    rows = np.array(history, float).reshape(-1, 2)
    known: FloatArray = rows[(np.abs(rows) < MAX_VALUE).all(1)]
    return known


def rise(rows: FloatArray, least: float = at.MIN_RISE) -> Rise | None:
    """Return how a gain rose over the last half of the updates, or since the first validation of a trend.

    None where no rise is certain.

    Args:
        rows: as :func:`finite` returns them.
        least: bits by which it must rise.
    """
    if not rises(rows) or (trend := _trend(rows, 2)) is None:
        return None
    slope, _, y = trend
    if not slope > max(least, at.RELATIVE_RISE * abs(float(y[-1]))):
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
    return not recent < pace * at.SLOWER or recent + 2 * recent_error >= pace


def outlook(rows: FloatArray) -> Outlook | None:
    """Return what as many updates again would add to a gain, if its rise goes on to slow down as it did.

    A parabola is fitted to the last half of the validations, or to the last four. What it rises in the second half of
    them is some share of what it rises in the first half; each time so many updates follow, that share of the last rise is
    added: a line goes on, and an exponential levels off. Half a standard error is added to the last rise, so that few rises
    are called slow by chance.

    Args:
        rows: as :func:`finite` returns them.

    Returns:
        None of fewer than three validations.
    """
    rows = rows[-max(at.MIN_EVALUATIONS, len(rows) // 2) :]
    if len(rows) < 3 or rows[-1, 0] - rows[0, 0] < 1:
        return None
    x, y = rows.T
    powers = np.vander((x - x[0]) / (x[-1] - x[0]), 3)
    fit = np.linalg.lstsq(powers, y, rcond=None)[0]
    left = y - powers @ fit
    spread = (left @ left) / max(1, len(rows) - 3) * np.linalg.pinv(powers.T @ powers)
    first, second = np.diff(np.vander([0, 0.5, 1], 3), axis=0)
    earlier, later = float(first @ fit), float(second @ fit + 0.5 * np.sqrt(max(0.0, second @ spread @ second)))
    pace = min(1.0, later / earlier) if earlier > 0 else 1.0
    parts = 2 * float(x[-1] / (x[-1] - x[0]))  # of as many updates, in as many again
    if later <= 0:
        return Outlook(0.0, float(y[-1] - left[-1]))
    following = parts if pace > 1 - 1e-9 else pace * (1 - pace**parts) / (1 - pace)
    return Outlook(later * following, float(y[-1] - left[-1]))


def standing_since(rows: FloatArray) -> int | None:
    """Return the update since which a gain has not risen, for a third of the run; None where it may have.

    Args:
        rows: as :func:`finite` returns them.
    """
    if rises(rows):  # however slowly
        return None
    for part in (2, 3):
        if len(rows) < part * at.MIN_EVALUATIONS or (trend := _trend(rows, part)) is None:
            continue
        slope, error, y = trend
        small = min(2 * at.MIN_RISE, 0.2 * float(np.abs(y).max()))  # there may not be more to gain
        if slope + 2 * error > max(small, 0.1 * abs(float(y.mean()))):
            continue
        since = float(rows[int(np.argmax(rows[:, 1] >= y.mean() - y.std())), 0])  # one of the last is as high
        if rows[-1, 0] - since >= max(at.LONG, rows[-1, 0] / 3):
            return int(since)
    return None


def _errors(y: FloatArray) -> float:
    """Return by how many standard errors a rise of some validations is certain."""
    return _ERRORS.get(len(y) - 2, _MORE)


def _trend(rows: FloatArray, part: int) -> tuple[float, float, FloatArray] | None:
    """Return how much the gain changed over the last half or third of the validations, the standard error of that, and
    their gains."""
    rows = rows[-max(at.MIN_EVALUATIONS, len(rows) // part) :]
    if len(rows) < at.MIN_EVALUATIONS or rows[-1, 0] - rows[0, 0] < 1:
        return None
    x, y = rows.T
    x = (x - x.mean()) / (x[-1] - x[0])
    slope = float(x @ (y - y.mean()) / (x @ x))
    left = y - y.mean() - slope * x
    error = float(np.sqrt((left @ left) / (len(x) - 2) / (x @ x)))
    return slope, error, y
